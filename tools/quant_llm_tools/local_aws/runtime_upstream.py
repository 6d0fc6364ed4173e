"""One request from SageMaker's runtime to a container, with the answer as it comes."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator, Mapping

_BLOCK_BYTES = 1 << 16


class Upstream:
    """An HTTP request to a container on loopback whose answer must be complete within `timeout` seconds.

    The constructor returns when the container has sent status and headers. It and `blocks` raise TimeoutError
    when the time is over, and OSError or http.client.HTTPException when the connection breaks.
    """

    def __init__(
        self,
        port: int,
        *,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
    ) -> None:
        self._deadline = time.monotonic() + timeout
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            self._connection.connect()
            self._socket: socket.socket = self._connection.sock
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.request(method, path, body, dict(headers))
            self._response = self._connection.getresponse()
        except BaseException:
            self._connection.close()
            raise
        self.status = self._response.status
        self.headers = self._response.headers

    def blocks(self) -> Iterator[bytes]:
        """The answer's bytes as they arrive. Raises IncompleteRead if it breaks off."""
        while True:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining)
            block = self._response.read1(_BLOCK_BYTES)
            if not block:
                if self._response.length:
                    raise http.client.IncompleteRead(b"", self._response.length)
                return
            yield block

    def read(self) -> bytes:
        """The whole answer."""
        return b"".join(self.blocks())

    def close(self) -> None:
        """Hang up; an engine that is still generating then stops."""
        self._response.close()
        self._connection.close()
