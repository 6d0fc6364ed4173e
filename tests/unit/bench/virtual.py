"""An event loop whose clock jumps to what is due next, and an engine whose times are known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from quant_llm_tools.bench.asking import Answer

T = TypeVar("T")


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready; when nothing is, its time goes on to the next timer. No sockets, no waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = self  # what asyncio's own loops ask for events

    def time(self) -> float:
        return self.now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; at once, whatever time it takes."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def clock() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


@dataclass
class Engine:
    """A target: a token after `first_s`, then one each `gap_s`, for `slots` requests at a time; more wait.

    `failing` are the numbers of requests that fail at once, from 0. Before it sends the one numbered
    `blocks_at`, the whole generator stands still for `blocks_s`.
    """

    first_s: float = 0.1
    gap_s: float = 0.01
    slots: int = 4
    failing: frozenset[int] = frozenset()
    blocks_at: int | None = None
    blocks_s: float = 0.0
    usage: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    prepared: list[int] = field(default_factory=list)
    closed: bool = False
    _free: asyncio.Semaphore | None = None

    async def prepare(self, streams: int) -> None:
        self.prepared.append(streams)

    async def close(self) -> None:
        self.closed = True

    async def ask(self, body: bytes) -> Answer:
        fields = json.loads(body)
        number = len(self.asked)
        self.asked.append(fields)
        if number == self.blocks_at:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.now += self.blocks_s
        sent = clock()
        if number in self.failing:
            return Answer(sent, (), sent, error="throttled", detail="429: try again later")
        self._free = self._free or asyncio.Semaphore(self.slots)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            async with self._free:
                return await self._generate(fields, sent)
        finally:
            self.running -= 1

    async def _generate(self, fields: dict[str, Any], sent: float) -> Answer:
        arrivals = []
        await asyncio.sleep(self.first_s)
        arrivals.append(clock())
        for _ in range(fields["max_tokens"] - 1):
            await asyncio.sleep(self.gap_s)
            arrivals.append(clock())
        return Answer(
            sent,
            tuple(arrivals),
            clock(),
            prompt_tokens=len(fields["prompt"].split()) if self.usage else None,
            output_tokens=fields["max_tokens"] if self.usage else None,
            text="word " * fields["max_tokens"],
        )
