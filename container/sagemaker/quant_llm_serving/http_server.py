"""HTTP/1.1 towards the callers: whole requests in, streamed answers out.

Parsing is llhttp's (`httptools`), which refuses what request smuggling is made of: two lengths, a length
beside chunks, bare line feeds. Requests of one connection are answered one after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import httptools

from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import error_body

BODY_LIMIT = 25 * 1024 * 1024
"""Bytes of a request's body: what SageMaker lets through to a real-time endpoint."""

_HEAD_LIMIT = 64 * 1024
_PIPELINE_LIMIT = 64 * 1024
_LINGER_SECONDS = 2.0
_ARRIVAL_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """A whole request; names of headers are in lower case, `path` has no query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Refusal:
    """An answer given by the parser's side, after which the connection is closed."""

    status: int
    message: str


@dataclass(frozen=True)
class _Parsed:
    request: Request
    keep_alive: bool
    chunks: bool


Handler = Callable[[Request, Reply], None]


class ClientConnection(asyncio.Protocol):
    """A caller's connection."""

    def __init__(self, handle: Handler, *, arrival_seconds: float = _ARRIVAL_SECONDS) -> None:
        """`handle` is called with each request, and answers it through the Reply, now or later.

        A request must be here `arrival_seconds` after its first byte.
        """
        self._handle = handle
        self._arrival_seconds = arrival_seconds
        self._arriving = False
        self._deadline: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._parsed: deque[_Parsed | _Refusal] = deque()
        self._unparsed = bytearray()
        self._closing = False
        self._advancing = False
        self._moved_on = False  # whether a head or a body ended within the data that is being parsed
        self._begin_message()

    # reply.Connection

    def write(self, data: bytes) -> None:
        """Send `data` to the caller."""
        if self._transport is not None:
            self._transport.write(data)

    def finished(self, *, close: bool) -> None:
        """The answer is whole, or given up."""
        self._reply = None
        if close:
            self._close()
        else:
            self._advance()

    def reset(self) -> None:
        """The answer can't be ended."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        """Parse, or keep for later while an earlier request is being answered.

        Reading goes on all the while: that is how a caller who leaves is noticed.
        """
        if self._closing:
            return
        if self._reply is None:
            self._feed(data)
            self._advance()
            return
        self._unparsed += data
        if len(self._unparsed) > _PIPELINE_LIMIT and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A caller who closes its side has gone: close ours."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever works on the answer can stop."""
        self._transport = None
        self._closing = True
        self._stop_clock()
        self._parsed.clear()
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.lose()

    def pause_writing(self) -> None:
        """The caller reads slowly."""
        if self._reply is not None and self._reply.on_pause is not None:
            self._reply.on_pause(True)

    def resume_writing(self) -> None:
        """The caller has caught up."""
        if self._reply is not None and self._reply.on_pause is not None:
            self._reply.on_pause(False)

    # httptools

    def on_message_begin(self) -> None:
        """A new request."""
        self._begin_message()
        self._arriving = True

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody needs."""
        if self._in_head:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Refuse what is too long before it is sent, and let the caller go on who asks first."""
        self._in_head = False
        self._moved_on = True
        length = self._headers.get("content-length", "0")
        if int(length) > BODY_LIMIT:
            self._refuse_body()
        elif self._headers.get("expect", "").lower() == "100-continue" and not self._parsed:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > BODY_LIMIT:
            self._refuse_body()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """A whole request."""
        path, _, _ = self._url.partition(b"?")
        method = self._parser.get_method().decode("ascii")
        request = Request(method, path.decode("latin-1"), self._headers, b"".join(self._body))
        modern = self._parser.get_http_version() == "1.1"
        # The answer to HEAD has no body, and ours has one: it is the connection's last.
        keep_alive = modern and method != "HEAD" and self._parser.should_keep_alive()
        self._parsed.append(_Parsed(request, keep_alive, chunks=modern))
        self._begin_message()
        self._arriving = False
        self._moved_on = True
        self._stop_clock()

    def _begin_message(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = True

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._parsed.pop()  # its body was not parsed: llhttp takes it for the other protocol
            self._refuse(HTTPStatus.BAD_REQUEST, "this server speaks HTTP/1.1 only, expected no Upgrade")
        except httptools.HttpParserError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"the request is not HTTP/1.1: {error}")
        self._head_bytes += len(data) if self._in_head and not self._moved_on else 0
        self._moved_on = False
        if self._head_bytes > _HEAD_LIMIT:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's head is longer than {_HEAD_LIMIT} bytes",
            )
        if self._arriving and self._deadline is None:
            self._start_clock()

    def _start_clock(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._arrival_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self._reply is not None:  # the rest may be here, behind the answer that is being given
            self._start_clock()
            return
        seconds = f"{self._arrival_seconds:g} s"
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request was not complete after {seconds}")
        self._advance()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse_body(self) -> None:
        self._body.clear()
        self._refuse(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request's body is longer than {BODY_LIMIT} bytes"
        )

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        if not (self._parsed and isinstance(self._parsed[-1], _Refusal)):  # the first reason is the right one
            self._parsed.append(_Refusal(status, message))

    def _advance(self) -> None:
        """Answer what has been parsed, and parse what has been kept, in turn."""
        if self._advancing:  # an answer that was given at once
            return
        self._advancing = True
        while self._reply is None and not self._closing:
            if self._parsed:
                self._answer(self._parsed.popleft())
            elif self._unparsed:
                data = bytes(self._unparsed)
                self._unparsed.clear()
                if self._transport is not None:
                    self._transport.resume_reading()
                self._feed(data)
            else:
                break
        self._advancing = False

    def _answer(self, parsed: _Parsed | _Refusal) -> None:
        if isinstance(parsed, _Parsed):
            self._reply = Reply(self, keep_alive=parsed.keep_alive, chunks=parsed.chunks)
            self._handle(parsed.request, self._reply)
        else:
            reply = Reply(self, keep_alive=False, chunks=True)
            reply.send(parsed.status, error_body(parsed.message, kind="invalid_request_error"))

    def _close(self) -> None:
        """Close gently: closed with bytes unread, a connection is reset, and the answer may be lost."""
        self._closing = True
        self._stop_clock()
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)
