"""Requests to the engine over its Unix socket, one connection each.

A connection per request costs little on a Unix socket, and spares all that a pool has to get right: a kept
connection that the engine just closed, and an answer that belongs to an earlier request. Closing it is how a
request is cancelled.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import httptools

_READ_BYTES = 65536


class Sink(Protocol):
    """Where the engine's answer goes: `start`, `write` as it comes, then `end`; or `fail` at any point.

    `flush` marks the end of what has arrived at once.
    """

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """The head of the answer; `length` is None if the engine streams."""
        ...

    def write(self, data: bytes) -> None:
        """The next piece of the body."""
        ...

    def flush(self) -> None:
        """Nothing more has arrived for now."""
        ...

    def end(self) -> None:
        """The answer is whole."""
        ...

    def fail(self, reason: str) -> None:
        """The engine couldn't be reached, or went away before the answer was whole."""
        ...


class EngineExchange:
    """One request to the engine. After `cancel` the sink hears nothing more.

    It reads and writes the socket itself: connecting to a Unix socket takes no time that would be worth
    waiting for, and the request is on its way sooner than an asyncio transport is made.
    """

    def __init__(self, method: str, path: str, body: bytes, sink: Sink) -> None:
        """`path` must be one of ours, never a caller's text."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._unsent = memoryview(head.encode() + body)
        self._sink: Sink | None = sink
        self._parser = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._content_type = "application/octet-stream"
        self._length: int | None = None
        self._pieces: list[bytes] = []
        self._complete = False

    def start(self, engine: Path) -> None:
        """Send the request to the engine's socket; the answer then arrives by itself."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(str(engine))
        except OSError as error:  # BlockingIOError: the engine has not accepted hundreds of others yet
            self._fail(f"the engine can't be reached: {error.strerror}")
            return
        self._loop.add_reader(self._socket, self._receive)
        self._send()

    def cancel(self) -> None:
        """Drop the request: llama.cpp frees the slot once it sees the connection closed."""
        self._sink = None
        self._close()

    def pause(self, paused: bool) -> None:
        """Stop reading while whoever reads the answer is slower than the engine."""
        if self._socket is None:
            return
        if paused:
            self._loop.remove_reader(self._socket)
        else:
            self._loop.add_reader(self._socket, self._receive)

    def _send(self) -> None:
        """Send what the socket takes; a long body takes several turns."""
        if self._socket is None:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._loop.remove_writer(self._socket)  # an engine that went away may have answered before
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._socket, self._send)
        else:
            self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        """Hand on the body as it comes."""
        if self._socket is None or self._sink is None:
            return
        try:
            data = self._socket.recv(_READ_BYTES)
            self._parser.feed_data(data)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        except httptools.HttpParserError as error:
            self._fail(f"the engine's answer is no HTTP: {error}")
            return
        if self._pieces:
            self._sink.write(b"".join(self._pieces))
            self._pieces.clear()
        if self._complete:
            sink, self._sink = self._sink, None
            self._close()
            sink.end()
        elif not data:
            self._fail("the engine went away before its answer was whole")
        else:
            self._sink.flush()

    def _fail(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        self._close()
        if sink is not None:
            sink.fail(reason)

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what the caller needs."""
        lowered = name.lower()
        if lowered == b"content-type":
            self._content_type = value.decode("latin-1")
        elif lowered == b"content-length":
            self._length = int(value)

    def on_headers_complete(self) -> None:
        """The answer's head."""
        if self._sink is not None:
            self._sink.start(self._parser.get_status_code(), self._content_type, self._length)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._complete = True


class EngineUnreachable(Exception):
    """The engine gave no whole answer."""


class _Collected:
    """A sink that gathers a whole answer."""

    def __init__(self, answer: asyncio.Future[tuple[int, bytes]]) -> None:
        self._answer = answer
        self._status = HTTPStatus.OK.value
        self._body: list[bytes] = []

    def start(self, status: int, content_type: str, length: int | None) -> None:
        self._status = status

    def write(self, data: bytes) -> None:
        self._body.append(data)

    def flush(self) -> None:
        pass

    def end(self) -> None:
        if not self._answer.done():
            self._answer.set_result((self._status, b"".join(self._body)))

    def fail(self, reason: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(EngineUnreachable(reason))


async def call(engine: Path, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """The engine's answer to a request of the container's own: status and body. Raises EngineUnreachable."""
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    exchange = EngineExchange(method, path, body, _Collected(answer))
    try:
        exchange.start(engine)
        return await answer
    finally:
        exchange.cancel()
