"""What the load generator itself can do at most, with the very client that measures the endpoint."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from quant_llm_tools.bench.asking import Clock, Target
from quant_llm_tools.bench.loops import Job, Recording, closed_loop, for_seconds
from quant_llm_tools.bench.measures import pieces, summarise
from quant_llm_tools.bench.null_server import NullServer
from quant_llm_tools.bench.results import Generator, Point

SECONDS = 1.0

MOST_OF_CEILING = 0.5
"""From this share of the ceiling on, the generator's own delays are a part of what is measured."""

MOST_OF_A_CORE = 0.8
"""Python runs on one core at a time."""


async def ceiling(make_target: Callable[[str], Target], body: bytes, streams: int, clock: Clock) -> float:
    """Pieces of text a second of so many streams, against a server in this process; it takes a second.

    `make_target` gets the server's URL. The true ceiling is higher: here the server works on the same core.
    """
    async with NullServer() as server:
        target = make_target(server.url)
        recording = Recording()
        jobs = itertools.repeat(Job(prompt=0, round=0, body=body))
        try:
            await target.prepare(streams)
            await closed_loop(
                target.ask, for_seconds(jobs, SECONDS, streams, clock), streams, recording, clock
            )
        finally:
            await target.close()
    return summarise(recording.requests, recording.full_load_s or 0, None).tokens_per_s or 0.0


def judged(streams: int, pieces_per_s: float, points: Iterable[Point]) -> Generator:
    """The ceiling, and whether one of the measured points comes too near to it."""
    near = (
        _pieces_per_s(point) > MOST_OF_CEILING * pieces_per_s or point.generator_cpu > MOST_OF_A_CORE
        for point in points
    )
    return Generator(streams=streams, pieces_per_s=round(pieces_per_s), bottleneck=any(near))


def _pieces_per_s(point: Point) -> float:
    well = [request for request in point.requests if request.error is None]
    if not well or not point.summary.output_tokens:
        return 0.0
    share = sum(map(pieces, well)) / point.summary.output_tokens
    return (point.summary.tokens_per_s or 0.0) * share
