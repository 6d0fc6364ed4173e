"""What the two loops do, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.bench.loops import (
    Job,
    Recording,
    closed_loop,
    for_seconds,
    open_loop,
    poisson_arrivals,
)
from quant_llm_tools.bench.measures import summarise
from tests.unit.bench.virtual import Engine, clock, run

TOKENS = 11
# 0.1 s to the first token, ten more at 0.01 s each.
WHOLE_MS = 200.0


def jobs(count: int) -> Iterator[Job]:
    body = json.dumps({"prompt": "a prompt", "max_tokens": TOKENS}).encode()
    return (Job(number, 0, body) for number in range(count))


def closed(engine: Engine, count: int, streams: int) -> Recording:
    recording = Recording()
    run(closed_loop(engine.ask, jobs(count), streams, recording, clock))
    return recording


def test_a_closed_loop_keeps_just_so_many_requests_under_way() -> None:
    engine = Engine(slots=8)
    recording = closed(engine, 12, 3)
    assert engine.most_running == 3
    assert len(recording.requests) == 12


def test_times_of_a_closed_loop_are_the_engines() -> None:
    (first, *_) = closed(Engine(), 2, 1).requests
    assert (first.first_ms, first.end_ms) == (100.0, WHOLE_MS)
    assert first.gaps_ms == (10.0,) * 10
    assert (first.due_s, first.sent_s) == (0.0, 0.0)


def test_waiting_for_a_slot_is_in_the_time_to_the_first_token() -> None:
    recording = closed(Engine(slots=1), 2, 2)
    assert sorted(one.first_ms or 0 for one in recording.requests) == [100.0, WHOLE_MS + 100.0]


def test_the_load_is_whole_until_the_first_stream_is_out_of_work() -> None:
    # Three requests on two streams: the second stream ends after one, the first goes on alone.
    recording = closed(Engine(), 3, 2)
    assert recording.full_load_s == pytest.approx(0.2)
    rate = summarise(recording.requests, recording.full_load_s or 0, None).tokens_per_s
    assert rate == pytest.approx(2 * TOKENS / 0.2)


def test_a_closed_loop_begins_nothing_after_its_time_but_each_stream_once() -> None:
    engine = Engine()

    async def load(seconds: float) -> list[float]:
        recording = Recording()
        limited = for_seconds(jobs(1000), seconds, 2, clock)
        await closed_loop(engine.ask, limited, 2, recording, clock)
        return [one.due_s for one in recording.requests]

    assert len(run(load(0.0))) == 2
    assert max(run(load(1.0))) == pytest.approx(0.8)


def test_an_interrupted_load_keeps_what_has_ended() -> None:
    recording = Recording()

    async def interrupted() -> None:
        task = asyncio.ensure_future(closed_loop(Engine().ask, jobs(100), 2, recording, clock))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(interrupted())
    assert len(recording.requests) == 4
    assert recording.full_load_s == pytest.approx(0.5)


def open_(engine: Engine, moments: list[float]) -> Recording:
    recording = Recording()
    run(open_loop(engine.ask, zip(moments, jobs(len(moments)), strict=True), recording, clock))
    return recording


def test_an_open_loop_waits_for_no_answer() -> None:
    engine = Engine(slots=8)
    recording = open_(engine, [0.0, 0.05, 0.1])
    assert [one.sent_s for one in recording.requests] == [0.0, 0.05, 0.1]
    assert engine.most_running == 3


def test_latency_in_an_open_loop_counts_from_when_the_request_was_due() -> None:
    # The generator stands still for a second while it sends the first request; the second is sent late.
    engine = Engine(blocks_at=0, blocks_s=1.0)
    recording = open_(engine, [0.0, 0.1])
    late = next(one for one in recording.requests if one.due_s == 0.1)
    assert late.sent_s == pytest.approx(1.0)
    assert late.first_ms == pytest.approx(900.0 + 100.0)


@given(st.floats(0.5, 100), st.integers(0, 2**32))
def test_arrivals_are_the_same_for_the_same_seed_and_in_order(rate: float, seed: int) -> None:
    moments = poisson_arrivals(rate, 2.0, 5, seed)
    assert moments == poisson_arrivals(rate, 2.0, 5, seed)
    assert len(moments) == max(5, round(2 * rate))
    assert all(earlier < later for earlier, later in itertools.pairwise(moments))


def test_gaps_between_arrivals_are_exponential() -> None:
    gaps = np.diff(poisson_arrivals(50.0, 400.0, 1, seed=1))
    assert float(gaps.mean()) == pytest.approx(1 / 50, rel=0.05)
    assert float(gaps.std()) == pytest.approx(1 / 50, rel=0.05)
    assert float(np.percentile(gaps, 50)) == pytest.approx(np.log(2) / 50, rel=0.05)
