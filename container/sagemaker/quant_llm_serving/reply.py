"""An answer on its way to the caller."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Protocol

_JSON = "application/json"


class Connection(Protocol):
    """What an answer needs of the caller's connection."""

    def write(self, data: bytes) -> None:
        """Send `data`."""
        ...

    def finished(self, *, close: bool) -> None:
        """The answer is whole."""
        ...

    def reset(self) -> None:
        """The answer can't be ended."""
        ...


class Reply:
    """The answer to one request: `send` it whole, or `start`, `write` and `end` it, or `abort` it.

    What is started and written goes out with `flush`, in one piece: each costs a system call.
    Once the caller is gone `on_gone` is called, and all that is sent is dropped. `on_pause` is called with
    True when the caller reads more slowly than is written, and with False when it has caught up.
    """

    def __init__(self, connection: Connection, *, keep_alive: bool, chunks: bool) -> None:
        """`chunks` tells whether the caller understands a chunked body (HTTP/1.0 doesn't)."""
        self._connection: Connection | None = connection
        self._keep_alive = keep_alive
        self._may_chunk = chunks
        self._chunked = False
        self._unsent: list[bytes] = []
        self.started = False
        self.on_gone: Callable[[], None] | None = None
        self.on_pause: Callable[[bool], None] | None = None

    def send(self, status: int, body: bytes, *, content_type: str = _JSON, headers: str = "") -> None:
        """A whole answer. `headers` are further header lines, each with its CR LF."""
        if self._connection is not None:
            self.started = True
            head = self._head(status, content_type, f"Content-Length: {len(body)}\r\n{headers}")
            self._connection.write(head + body)
            self._finish(close=not self._keep_alive)

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """The head of a streamed answer of `length` bytes, or of any length."""
        self.started = True
        self._chunked = length is None and self._may_chunk
        if length is not None:
            framing = f"Content-Length: {length}\r\n"
        elif self._chunked:
            framing = "Transfer-Encoding: chunked\r\n"
        else:
            framing = ""
            self._keep_alive = False  # the end of the connection is the end of the body
        self._unsent.append(self._head(status, content_type, framing))

    def write(self, data: bytes) -> None:
        """The next piece of the body."""
        self._unsent.append(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def flush(self) -> None:
        """Send what is started and written."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self._connection is not None:
            self._connection.write(data)

    def end(self) -> None:
        """The streamed answer is whole."""
        if self._chunked:
            self._unsent.append(b"0\r\n\r\n")
        self.flush()
        self._finish(close=not self._keep_alive)

    def abort(self) -> None:
        """Break the connection, so that nobody takes a part for the whole."""
        if self._connection is not None:
            self._connection.reset()

    def lose(self) -> None:
        """The caller is gone."""
        self._connection = None
        if self.on_gone is not None:
            self.on_gone()

    def _head(self, status: int, content_type: str, lines: str) -> bytes:
        phrase = http.client.responses.get(status, "")
        closing = "" if self._keep_alive else "Connection: close\r\n"
        return f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\n{lines}{closing}\r\n".encode()

    def _finish(self, *, close: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finished(close=close)
