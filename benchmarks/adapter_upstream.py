"""An engine without a model: whoever posts gets a stream of tokens at an exact pace.

    python -m benchmarks.adapter_upstream /path/of/a.sock     or a port of loopback

As fast as Python goes (one write a token, all prepared), so that what is measured is what is in front of it.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

TOKENS = 100
TOKENS_PER_SECOND = 100.0

_EVENT = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" token"}}],"created":1763800000,'
    b'"id":"chatcmpl-abcdefghijklmnopqrstuvwxyz012345","model":"m","object":"chat.completion.chunk"}\n\n'
)
_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
_END = b"0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_JSON = b'{"status":"ok","choices":[{"text":"1"}],"usage":{"completion_tokens":1}}'
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_JSON),
    _JSON,
)


class Upstream(asyncio.Protocol):
    """A connection: each POST with `stream` is answered by a stream, anything else at once."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._sent = 0
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller."""
        self._transport = transport  # type: ignore[assignment] # uvloop's is one in all but its class

    def connection_lost(self, error: Exception | None) -> None:
        """The caller has gone."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer once head and body are there; callers wait for an answer before they ask again."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        lowered = head.lower()
        _, _, length = lowered.partition(b"content-length:")
        if not separator or len(body) < int(length.split(b"\r\n")[0] or 0):
            return
        self._received = b""
        self._closes = b"connection: close" in lowered
        if b'"stream": true' not in body:
            self._write(_WHOLE, last=True)
            return
        self._started = asyncio.get_running_loop().time()
        self._sent = 0
        self._write(_HEAD, last=False)
        self._send_token()

    def _send_token(self) -> None:
        self._sent += 1
        if self._sent == TOKENS:
            self._write(_CHUNK + _END, last=True)
            return
        self._write(_CHUNK, last=False)
        due = self._started + self._sent / TOKENS_PER_SECOND
        self._timer = asyncio.get_running_loop().call_at(due, self._send_token)

    def _write(self, data: bytes, *, last: bool) -> None:
        if self._transport is not None:
            self._transport.write(data)
            if last and self._closes:
                self._transport.close()


async def serve(address: str) -> None:
    """Listen on a Unix socket (a path) or a port of loopback, for ever."""
    loop = asyncio.get_running_loop()
    if address.startswith("/"):
        server = await loop.create_unix_server(Upstream, address, backlog=512)
    else:
        server = await loop.create_server(Upstream, "127.0.0.1", int(address), backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    # As llama-server the entrypoint gives it a model and more; the address comes after --host.
    arguments = sys.argv[1:]
    uvloop.run(serve(arguments[arguments.index("--host") + 1] if "--host" in arguments else arguments[0]))
