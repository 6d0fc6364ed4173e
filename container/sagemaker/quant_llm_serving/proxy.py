"""Requests to the engine over its Unix socket.

A connection on which an answer came to its end is kept for the next request: with many callers at once, half
of what the container adds to the first token would go into new ones. A request is cancelled by closing its
connection, so a kept one never holds a part of an answer; and one that the engine closed in the meantime is
replaced as long as nothing of the answer has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import httptools

_READ_BYTES = 65536


class EngineAddress:
    """The engine's socket, and the watch over the connections to it.

    The event loop watches one selector in place of the connections: to uvloop each of its own costs fifty
    microseconds, which is most of what a request costs at all.
    """

    def __init__(self, path: Path, *, kept: int) -> None:
        """To be made in the event loop; nothing needs to listen yet. At most `kept` connections wait for use.

        Engines may hold a thread for each: there must not be more than they have slots.
        """
        self._path = str(path)
        self._kept = kept
        self._idle: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._selector.fileno(), self._dispatch)

    def take(self, on_readable: Callable[[], None]) -> socket.socket | None:
        """A connection that was kept, or None. `on_readable` is called when there is something to read."""
        if not self._idle:
            return None
        connection = self._idle.pop()
        self._selector.modify(connection, selectors.EVENT_READ, on_readable)
        return connection

    def connect(self, on_readable: Callable[[], None]) -> socket.socket:
        """The same on a new connection. Raises OSError; connecting to a Unix socket takes no time."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self.watch(connection, on_readable)
        return connection

    def watch(self, connection: socket.socket, on_readable: Callable[[], None]) -> None:
        """Go on after `unwatch`."""
        self._selector.register(connection, selectors.EVENT_READ, on_readable)

    def unwatch(self, connection: socket.socket) -> None:
        """Read no more for now."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection)

    def keep(self, connection: socket.socket) -> None:
        """Keep a watched connection for later, or close it."""
        if len(self._idle) < self._kept:
            self._idle.append(connection)
            self._selector.modify(connection, selectors.EVENT_READ, lambda: self._drop(connection))
        else:
            self.discard(connection)

    def discard(self, connection: socket.socket) -> None:
        """Close a connection, watched or not."""
        self.unwatch(connection)
        connection.close()

    def close(self) -> None:
        """Close the connections that are kept, and watch no others."""
        for connection in self._idle:
            connection.close()
        self._loop.remove_reader(self._selector.fileno())
        self._selector.close()

    def _drop(self, connection: socket.socket) -> None:
        """The engine has closed a connection that was kept, or says something that nobody asked."""
        self._idle.remove(connection)
        self.discard(connection)

    def _dispatch(self) -> None:
        for key, _ in self._selector.select(0):
            key.data()


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
            f"{method} {path} HTTP/1.1\r\nHost: engine\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = memoryview(head.encode() + body)
        self._unsent = self._request
        self._sink: Sink | None = sink
        self._parser = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._engine: EngineAddress | None = None
        self._socket: socket.socket | None = None
        self._content_type = "application/octet-stream"
        self._length: int | None = None
        self._pieces: list[bytes] = []
        self._complete = False
        self._keeps_alive = False
        self._replaceable = False  # a kept connection, on which nothing has come
        self._sends_later = False

    def start(self, engine: EngineAddress) -> None:
        """Send the request to the engine; the answer then arrives by itself."""
        self._engine = engine
        self._socket = engine.take(self._receive)
        self._replaceable = self._socket is not None
        if self._replaceable:
            self._send()
        else:
            self._connect(engine)

    def _connect(self, engine: EngineAddress) -> None:
        """Send the request on a new connection."""
        self._unsent = self._request
        try:
            self._socket = engine.connect(self._receive)
        except OSError as error:  # BlockingIOError: the engine has not accepted hundreds of others yet
            self._fail(f"the engine can't be reached: {error.strerror}")
            return
        self._send()

    def cancel(self) -> None:
        """Drop the request: llama.cpp frees the slot once it sees the connection closed."""
        self._sink = None
        self._release(keep=False)

    def pause(self, paused: bool) -> None:
        """Stop reading while whoever reads the answer is slower than the engine."""
        if self._socket is None or self._engine is None:
            return
        if paused:
            self._engine.unwatch(self._socket)
        else:
            self._engine.watch(self._socket, self._receive)

    def _send(self) -> None:
        """Send what the socket takes; a long body takes several turns."""
        if self._socket is None:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._stop_sending()  # an engine that went away may have answered before
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._stop_sending()
        elif not self._sends_later:
            self._sends_later = True
            self._loop.add_writer(self._socket, self._send)

    def _stop_sending(self) -> None:
        if self._sends_later and self._socket is not None:
            self._sends_later = False
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
        if not data and self._replaceable and self._engine is not None:
            self._replaceable = False
            self._release(keep=False)
            self._connect(self._engine)
            return
        self._replaceable = False
        if self._pieces:
            self._sink.write(b"".join(self._pieces))
            self._pieces.clear()
        if self._complete:
            sink, self._sink = self._sink, None
            self._release(keep=self._keeps_alive and not self._unsent)
            sink.end()
        elif not data:
            self._fail("the engine went away before its answer was whole")
        else:
            self._sink.flush()

    def _fail(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        self._release(keep=False)
        if sink is not None:
            sink.fail(reason)

    def _release(self, *, keep: bool) -> None:
        if self._socket is None or self._engine is None:
            return
        self._stop_sending()
        connection, self._socket = self._socket, None
        if keep:
            self._engine.keep(connection)
        else:
            self._engine.discard(connection)

    # httptools

    def on_message_begin(self) -> None:
        """An answer; there is but one."""
        if self._complete:
            raise ValueError("more than one answer")  # which feed_data turns into an HttpParserError

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
        self._keeps_alive = self._parser.should_keep_alive()  # which it knows in here only


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


async def call(engine: EngineAddress, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """The engine's answer to a request of the container's own: status and body. Raises EngineUnreachable."""
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    exchange = EngineExchange(method, path, body, _Collected(answer))
    try:
        exchange.start(engine)
        return await answer
    finally:
        exchange.cancel()
