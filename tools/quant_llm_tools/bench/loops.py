"""Two ways to load an endpoint: streams that each wait for their answer, or arrivals that wait for none."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from quant_llm_tools.bench.asking import Answer, Clock
from quant_llm_tools.bench.results import Request

Ask = Callable[[bytes], Awaitable[Answer]]


@dataclass(frozen=True)
class Job:
    """A request to be made: the number of its prompt, the round, and the body."""

    prompt: int
    round: int
    body: bytes


@dataclass
class Recording:
    """What has been measured of a load so far: it is there when the load is interrupted, too.

    `full_load_s` are the seconds from the start until the load was no longer whole.
    """

    on_request: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    full_load_s: float | None = None

    def add(self, job: Job, *, start: float, due: float, answer: Answer) -> None:
        """Note an answer to a request that was due at the moment `due` of a load that began at `start`."""
        moments = [_milliseconds(arrival - due) for arrival in answer.arrivals]
        self.requests.append(
            Request(
                prompt=job.prompt,
                round=job.round,
                due_s=round(due - start, 6),
                sent_s=round(answer.sent - start, 6),
                first_ms=moments[0] if moments else None,
                end_ms=_milliseconds(answer.ended - due),
                gaps_ms=tuple(round(later - earlier, 2) for earlier, later in pairwise(moments)),
                prompt_tokens=answer.prompt_tokens,
                output_tokens=answer.output_tokens,
                error=answer.error,
                detail=answer.detail,
            )
        )
        self.answers.append(answer)
        self.on_request()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


async def closed_loop(
    ask: Ask, jobs: Iterator[Job], streams: int, recording: Recording, clock: Clock
) -> None:
    """Keep `streams` requests under way until the jobs are used up.

    The load is whole until the first stream finds no job: what the others still say then is not counted.
    """
    start = clock()

    def load_ends() -> None:
        if recording.full_load_s is None:
            recording.full_load_s = clock() - start

    async def stream() -> None:
        for job in jobs:
            due = clock()
            recording.add(job, start=start, due=due, answer=await ask(job.body))
        load_ends()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(stream())
    finally:
        load_ends()


async def open_loop(
    ask: Ask, arrivals: Iterable[tuple[float, Job]], recording: Recording, clock: Clock
) -> None:
    """Make each request when it is due, in seconds from now, whatever became of those before it.

    Each latency counts from when the request was due and not from when it was made: a generator that lags
    would otherwise leave its worst times out ("coordinated omission").
    """
    start = clock()

    async def one(job: Job, due: float) -> None:
        recording.add(job, start=start, due=due, answer=await ask(job.body))

    last = 0.0
    try:
        async with asyncio.TaskGroup() as group:
            for after, job in arrivals:
                await asyncio.sleep(max(0.0, start + after - clock()))
                group.create_task(one(job, start + after))
                last = after
    finally:
        recording.full_load_s = last


def poisson_arrivals(per_second: float, seconds: float, least: int, seed: int) -> list[float]:
    """When requests arrive that know nothing of each other: `seconds` of them, and `least` at least."""
    generator = random.Random(seed)  # noqa: S311 - repeatable, and nothing is kept secret by it
    count = max(least, round(per_second * seconds))
    return list(itertools.accumulate(generator.expovariate(per_second) for _ in range(count)))


def for_seconds(jobs: Iterable[Job], seconds: float, least: int, clock: Clock) -> Iterator[Job]:
    """Jobs for so many seconds from the first on, and `least` of them in any case."""
    end: float | None = None
    for number, job in enumerate(jobs):
        if end is None:
            end = clock() + seconds
        if number >= least and clock() >= end:
            return
        yield job
