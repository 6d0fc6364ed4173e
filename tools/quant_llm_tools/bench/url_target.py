"""An OpenAI-compatible server at a URL, such as the container itself.

asyncio and httptools, and nothing in between: what the client costs is taken from what it can measure.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import httptools

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.asking import Answer, AnswerReader, Clock, Route, kind_of_status

_PATHS: Mapping[Route, str] = {"completions": "/completions", "chat": "/chat/completions"}
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ServerUrl:
    """Where a server is: `http(s)://host[:port]`, with `/v1` or without, or with `/invocations` at the end.

    QuantLlmError if it is none, or holds a password.
    """

    def __init__(self, text: str) -> None:
        expected = "expected http(s)://host[:port][/v1]"
        try:
            parts = urlsplit(text)
        except ValueError:  # as for `http://[::1`; the error may repeat a password
            raise QuantLlmError(f"got a URL that can't be read, {expected}") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise QuantLlmError(f"got the URL {_without_secrets(parts)!r}, {expected}")
        if parts.username or parts.password or parts.query:
            raise QuantLlmError(
                f"got a URL with a user, password or query for {parts.hostname}, {expected}; "
                "--api-key-env names a variable with a key"
            )
        self.host = parts.hostname
        self.secure = parts.scheme == "https"
        try:
            self.port = parts.port or _PORTS[parts.scheme]
        except ValueError as error:
            raise QuantLlmError(f"got the URL {text!r}: {error}, {expected}") from None
        self.authority = parts.netloc
        path = parts.path.rstrip("/")
        self._base = path if path.endswith(("/v1", "/invocations")) else f"{path}/v1"

    def path(self, route: Route) -> str:
        """The path of a route; at `/invocations` the body's fields tell."""
        return self._base if self._base.endswith("/invocations") else self._base + _PATHS[route]

    @property
    def models(self) -> str | None:
        """The address that tells the models' names; None if there is none."""
        return None if self._base.endswith("/invocations") else f"{self.root}{self._base}/models"

    @property
    def root(self) -> str:
        """Scheme, host and port."""
        return f"http{'s' * self.secure}://{self.authority}"

    @property
    def on_this_machine(self) -> bool:
        """Whether the server is on loopback."""
        return self.host in _LOOPBACK

    def __str__(self) -> str:
        return self.root + self._base


def _without_secrets(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


class UrlTarget:
    """Streams from one path of a server. A request may take `timeout_s` seconds."""

    def __init__(
        self,
        url: ServerUrl,
        route: Route,
        *,
        timeout_s: float,
        clock: Clock,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = url
        lines = {"Host": url.authority, "Content-Type": "application/json", **(headers or {})}
        self._head = f"POST {url.path(route)} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items()
        )
        self._timeout_s = timeout_s
        self._clock = clock
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()

    async def prepare(self, streams: int) -> None:
        """Open so many connections; one that can't be opened is told by the request that needs it."""
        self._idle = [connection for connection in self._idle if not connection.lost]
        missing = streams - len(self._idle)
        opened = await asyncio.gather(*(self._connect() for _ in range(missing)), return_exceptions=True)
        self._idle += [connection for connection in opened if isinstance(connection, _Connection)]

    async def ask(self, body: bytes) -> Answer:
        """Send a request and read its stream to the end."""
        sent = self._clock()
        reader = AnswerReader(sent)
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._take()
                self._busy.add(connection)
                request = f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body
                return await connection.exchange(request, reader)
        except TimeoutError:
            return reader.failed("timeout", f"not complete after {self._timeout_s:g} s", self._clock())
        except OSError as error:
            return reader.failed("connection", str(error) or type(error).__name__, self._clock())
        finally:
            if connection is not None:
                self._busy.discard(connection)
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.abort()

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
        return await self._connect()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._clock), self._url.host, self._url.port, ssl=self._url.secure or None
        )
        return connection

    async def close(self) -> None:
        """Close all connections."""
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # transports close in the loop's next turn


class _Connection(asyncio.Protocol):
    """A connection, for one exchange after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reader = AnswerReader(0)
        self._moment = 0.0
        self._refusal = b""
        self._done: asyncio.Future[Answer] | None = None
        self._keeps_alive = False
        self.lost = False

    @property
    def reusable(self) -> bool:
        """Whether the last answer came to its end, and the server keeps the connection."""
        return self._keeps_alive and not self.lost

    def exchange(self, request: bytes, reader: AnswerReader) -> asyncio.Future[Answer]:
        """Send a request; the result is its answer, or an OSError."""
        self._done = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._reader = reader
        self._refusal = b""
        self._keeps_alive = False
        if self.lost or self._transport is None:
            self._done.set_exception(ConnectionResetError("the connection was closed"))
        else:
            self._transport.write(request)
        return self._done

    def abort(self) -> None:
        """Close at once."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: a stream's is
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """The answer can't come to its end any more."""
        self.lost = True
        self._fail(ConnectionResetError(str(error or "closed before the answer was whole")))

    def data_received(self, data: bytes) -> None:
        """Note the moment, and read on."""
        self._moment = self._clock()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.lost = True
            self._fail(ConnectionError(f"this is no HTTP: {error}"))

    # httptools

    def on_body(self, data: bytes) -> None:
        """A piece of the answer."""
        if self._parser.get_status_code() == HTTPStatus.OK:
            self._reader.feed(data, self._moment)
        else:
            self._refusal += data

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._keeps_alive = self._parser.should_keep_alive()
        status = self._parser.get_status_code()
        if status == HTTPStatus.OK:
            self._finish(lambda: self._reader.answer(self._moment))
        else:
            detail = f"{status}: {self._refusal.decode(errors='replace')}"
            self._finish(lambda: self._reader.failed(kind_of_status(status), detail, self._moment))

    def _finish(self, answer: Callable[[], Answer]) -> None:
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_result(answer())

    def _fail(self, error: OSError) -> None:
        done, self._done = self._done, None
        with contextlib.suppress(asyncio.InvalidStateError):
            if done is not None:
                done.set_exception(error)
