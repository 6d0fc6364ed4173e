"""A port of loopback for a server that is still to be started."""

from __future__ import annotations

import socket
import sys


class ReservedPort:
    """A port that no program is given before `release`, though it may be long until the server listens.

    A socket is bound to it and does not listen. On Linux a server that sets SO_REUSEADDR (Python's, uvloop's)
    or SO_REUSEPORT (llama.cpp's) binds the same port beside it, see socket(7), while the kernel chooses it
    neither for a server that asks for any port nor for a connection. Elsewhere SO_REUSEADDR is not enough, so
    the port is only one that was free.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def __enter__(self) -> int:
        return self.number

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others have it, once the server has ended."""
        self._socket.close()
