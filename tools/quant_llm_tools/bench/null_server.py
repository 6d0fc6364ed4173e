"""A server that answers at once: what the load generator does against it is the most that it can do.

It says one piece of text a turn of the event loop on each connection, as an engine does that is never waited
for: in OpenAI's form, or as the response stream of SageMaker's runtime.
"""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Self

import httptools

from quant_llm_tools.local_aws import event_stream

PIECES = 128
"""How many pieces of text an answer has."""

_EVENT = {
    "choices": [{"text": " word", "index": 0, "logprobs": None, "finish_reason": None}],
    "created": 1700000000,
    "model": "null",
    "system_fingerprint": "b0000-000000000",
    "object": "text_completion",
    "id": "chatcmpl-00000000000000000000000000000000",
}
_PIECE = f"data: {json.dumps(_EVENT)}\n\n".encode()
_USAGE = {"prompt_tokens": 100, "completion_tokens": PIECES, "total_tokens": 100 + PIECES}
_END = f"data: {json.dumps({**_EVENT, 'choices': [], 'usage': _USAGE})}\n\ndata: [DONE]\n\n".encode()


class NullServer:
    """The server, on a free port of loopback, inside an `async with` block."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._connections), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None  # noqa: S101 - for the type checker: there is one inside the block
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"


class _Connection(asyncio.Protocol):
    def __init__(self, connections: set[_Connection]) -> None:
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = b""
        self._left = 0

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: a stream's is
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Say no more."""
        self._transport = None
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read the request."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The request's path tells the form of the answer."""
        self._path = url

    def on_message_complete(self) -> None:
        """Begin to answer."""
        streams = self._path.endswith(b"/invocations-response-stream")
        kind = event_stream.CONTENT_TYPE if streams else "text/event-stream"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._piece = _chunk(event_stream.payload_part(_PIECE) if streams else _PIECE)
        self._end = _chunk(event_stream.payload_part(_END) if streams else _END) + b"0\r\n\r\n"
        self._left = PIECES
        if self._transport is not None:
            self._transport.write(head.encode())
        self._say()

    def _say(self) -> None:
        if self._transport is None:
            return
        if self._left == 0:
            self._transport.write(self._end)
            return
        self._left -= 1
        self._transport.write(self._piece)
        asyncio.get_running_loop().call_soon(self._say)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
