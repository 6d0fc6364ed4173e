"""A run: warm-up, the article's protocol, the check of the tokens' count, then more and more load."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.asking import Answer, Clock, Form, Target
from quant_llm_tools.bench.loops import (
    Job,
    Recording,
    closed_loop,
    for_seconds,
    open_loop,
    poisson_arrivals,
)
from quant_llm_tools.bench.measures import summarise
from quant_llm_tools.bench.progress import Progress, told
from quant_llm_tools.bench.prompts import salted
from quant_llm_tools.bench.results import Point, Price, TokenCheck
from quant_llm_tools.bench.token_check import check_tokens

SATURATED_BELOW = 1.1
"""Twice the streams that bring less than this times the tokens a second are the end of the sweep."""

MOST_ERRORS = 0.1
"""So large a share of errors is the end of the sweep, too."""

_WARM_UP_TOKENS = 8
_WARM_UP_REQUESTS = 2


@dataclass(frozen=True)
class Plan:
    """What is measured. `seconds` is how long a point of the sweep begins new requests.

    `arrivals_per_s`: the open loops, of `least_arrivals` at least; if none are given, `shares_of_best` of the
    most requests a second that the closed loops served. After `budget_s` no new load begins, and the first
    one gets no more than half of it.
    """

    prompts: tuple[str, ...]
    rounds: int
    seconds: float
    most_streams: int
    shares_of_best: tuple[float, ...]
    least_arrivals: int
    arrivals_per_s: tuple[float, ...] = ()
    budget_s: float = math.inf


@dataclass
class Measured:
    """What a run has measured so far; `complete` once that is everything, or all that there was time for."""

    article: Point | None = None
    token_check: TokenCheck | None = None
    sweep: list[Point] = field(default_factory=list)
    complete: bool = False
    in_time: bool = True

    @property
    def points(self) -> list[Point]:
        """All points."""
        return [*filter(None, (self.article,)), *self.sweep]


@dataclass
class Runner:
    """Measures a target. `salt` makes this run's prompts its own; `memory` tells the GPU's, in MiB."""

    target: Target
    form: Form
    plan: Plan
    price: Price | None
    salt: str
    progress: Progress
    clock: Clock = time.perf_counter
    memory: Callable[[], float | None] = lambda: None
    measured: Measured = field(default_factory=Measured)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _end: float = math.inf

    async def run(self) -> Measured:
        """Measure everything, or until this task is cancelled: what was measured until then is returned.

        QuantLlmError if the target doesn't answer at all.
        """
        self._end = self.clock() + self.plan.budget_s
        try:
            first = await self._warm_up(1, _WARM_UP_REQUESTS)
            if all(request.error for request in first.requests):
                worst = first.requests[0]
                raise QuantLlmError(f"the endpoint answers no request ({worst.error}): {worst.detail}")
            await self._article()
            await self._closed_loops()
            await self._open_loops()
            self.measured.complete = True
        except (asyncio.CancelledError, _Interrupted):
            pass
        return self.measured

    async def _warm_up(self, streams: int, requests: int) -> Recording:
        """What is slow once only (memory, kernels, connections) is not measured."""
        await self.target.prepare(streams)
        recording = Recording()
        jobs = itertools.islice(self._jobs(max_tokens=_WARM_UP_TOKENS), requests)
        await closed_loop(self.target.ask, jobs, streams, recording, self.clock)
        return recording

    async def _article(self) -> None:
        """One stream, all prompts, in rounds."""
        count = len(self.plan.prompts) * self.plan.rounds
        self.progress.step(f"one stream, {len(self.plan.prompts)} prompts x {self.plan.rounds}", count)
        recording = Recording(self.progress.request)
        all_jobs = itertools.islice(self._jobs(), count)
        jobs = for_seconds(all_jobs, self.plan.budget_s / 2, 1, self.clock)
        self.measured.article = await self._point(
            closed_loop(self.target.ask, jobs, 1, recording, self.clock), recording, streams=1
        )
        _go_on(self.measured.article)
        self.measured.in_time = len(recording.requests) == count
        await self._check_tokens(recording.answers)

    async def _check_tokens(self, answers: Iterable[Answer]) -> None:
        async def prompt_tokens(text: str) -> int | None:
            return (await self.target.ask(self.form.body(text, max_tokens=1))).prompt_tokens

        self.measured.token_check = await check_tokens(answers, prompt_tokens)

    async def _closed_loops(self) -> None:
        streams, best = 1, 0.0
        while streams <= self.plan.most_streams and self._has_time():
            await self._warm_up(streams, streams)
            self.progress.step(f"closed loop, {streams} stream{'s' * (streams != 1)}")
            recording = Recording(self.progress.request)
            jobs = for_seconds(self._jobs(), self.plan.seconds, streams, self.clock)
            point = await self._point(
                closed_loop(self.target.ask, jobs, streams, recording, self.clock), recording, streams=streams
            )
            self.measured.sweep.append(point)
            _go_on(point)
            rate = point.summary.tokens_per_s or 0.0
            if rate < SATURATED_BELOW * best or point.summary.error_count > MOST_ERRORS * len(point.requests):
                return
            streams, best = 2 * streams, rate

    async def _open_loops(self) -> None:
        for rate in self.plan.arrivals_per_s or self._shares_of_best():
            if not self._has_time():
                return
            self.progress.step(f"open loop, {rate:.3g} requests/s")
            recording = Recording(self.progress.request)
            moments = poisson_arrivals(rate, self.plan.seconds, self.plan.least_arrivals, self.form.seed)
            arrivals = zip(moments, self._jobs(), strict=False)
            point = await self._point(
                open_loop(self.target.ask, arrivals, recording, self.clock), recording, arrivals_per_s=rate
            )
            self.measured.sweep.append(point)
            _go_on(point)

    def _has_time(self) -> bool:
        """Whether a load may begin; the first one of the sweep may in any case."""
        in_time = self.clock() < self._end
        self.measured.in_time &= in_time
        return in_time or not self.measured.sweep

    def _shares_of_best(self) -> list[float]:
        best = max((point.summary.requests_per_s or 0.0 for point in self.measured.sweep), default=0.0)
        return [share * best for share in self.plan.shares_of_best if best]

    async def _point(
        self,
        load: Awaitable[None],
        recording: Recording,
        *,
        streams: int | None = None,
        arrivals_per_s: float | None = None,
    ) -> Point:
        """Apply a load; if that is interrupted, the point says so."""
        complete = True
        started, processor = self.clock(), time.process_time()
        try:
            await load
        except asyncio.CancelledError:
            complete = False
        seconds, processor = self.clock() - started, time.process_time() - processor
        full_load_s = round(recording.full_load_s or 0.0, 6)
        point = Point(
            loop="open" if streams is None else "closed",
            concurrency=streams,
            arrivals_per_s=arrivals_per_s,
            complete=complete,
            full_load_s=full_load_s,
            generator_cpu=round(processor / seconds, 3) if seconds > 0 else 0.0,
            gpu_memory_used_mib=self.memory(),
            summary=summarise(recording.requests, full_load_s, self.price),
            requests=tuple(recording.requests),
        )
        self.progress.finished(told(point))
        return point

    def _jobs(self, *, max_tokens: int | None = None) -> Iterator[Job]:
        """All prompts, round after round, without an end."""
        for number in itertools.count():
            for index, text in enumerate(self.plan.prompts):
                prompt = salted(text, self.salt, next(self._numbers))
                yield Job(index, number, self.form.body(prompt, max_tokens=max_tokens))


class _Interrupted(Exception):
    """The point that was measured last was interrupted."""


def _go_on(point: Point) -> None:
    if not point.complete:
        raise _Interrupted
