"""Callers of streams: `python -m benchmarks.adapter_load PORT PATH STREAMS TURNS` prints what they saw."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from statistics import median

import uvloop

_BODY = json.dumps(
    {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France? " * 8},
        ],
        "max_tokens": 100,
        "stream": True,
    }
).encode()
_END = b"0\r\n\r\n"


class Caller(asyncio.Protocol):
    """A connection that asks for a number of streams, one after the other.

    So many streams and not so many seconds: else a way by which a stream takes a little longer would have one
    stream less, and lose far more than the little.
    """

    def __init__(self, path: str, turns: int, done: asyncio.Future[None]) -> None:
        """`done` is set when its last stream has ended."""
        self.first_tokens: list[float] = []
        self.tokens = 0
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(_BODY)}\r\n\r\n"
        ).encode() + _BODY
        self._turns = turns
        self.done = done
        self._transport: asyncio.Transport | None = None
        self._asked: float | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = transport  # type: ignore[assignment] # uvloop's is one in all but its class
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """The server has closed the connection: that is an error unless it was the last stream."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("closed before the answer was whole"))

    def data_received(self, data: bytes) -> None:
        """Count tokens; the first one's time counts, too."""
        tokens = data.count(b"data: ")
        if tokens and self._asked is not None:
            self.first_tokens.append(time.perf_counter() - self._asked)
            self._asked = None
        self.tokens += tokens
        self._tail = (self._tail + data)[-len(_END) :]
        if self._tail == _END:
            self._ask()

    def _ask(self) -> None:
        self._tail = b""
        if self._turns == 0:
            self.done.set_result(None)
            return
        self._turns -= 1
        self._asked = time.perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)


async def load(port: int, path: str, streams: int, turns: int) -> dict[str, float]:
    """Keep so many streams going; tokens a second, and the median time to the first token in ms."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    callers: list[Caller] = []
    for _ in range(streams):
        caller = Caller(path, turns, loop.create_future())
        callers.append(caller)
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc] # a default
    await asyncio.gather(*(caller.done for caller in callers))
    elapsed = time.perf_counter() - started
    first_tokens = [moment for caller in callers for moment in caller.first_tokens]
    return {
        "tokens_per_s": sum(caller.tokens for caller in callers) / elapsed,
        "first_token_ms": median(first_tokens) * 1000,
    }


if __name__ == "__main__":
    port, path, streams, turns = sys.argv[1:]
    print(json.dumps(uvloop.run(load(int(port), path, int(streams), int(turns)))))
