"""A whole run against an engine whose times are known."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.asking import Form
from quant_llm_tools.bench.progress import Silent
from quant_llm_tools.bench.remarks import remarks
from quant_llm_tools.bench.results import Workload
from quant_llm_tools.bench.runner import Measured, Plan, Runner
from tests.unit.bench.made import PRICE
from tests.unit.bench.virtual import Engine, clock, run

TOKENS = 11  # 0.2 s with the engine's times
PLAN = Plan(
    prompts=("one", "two two", "three three three"),
    rounds=2,
    seconds=4.0,
    most_streams=64,
    shares_of_best=(0.5,),
    least_arrivals=10,
)


def runner(engine: Engine, plan: Plan = PLAN) -> Runner:
    form = Form("completions", TOKENS, seed=1, fixed_length=True)
    return Runner(engine, form, plan, PRICE, "salt", Silent(), clock=clock)


def measure(engine: Engine, plan: Plan = PLAN) -> Measured:
    return run(runner(engine, plan).run())


def workload(plan: Plan = PLAN) -> Workload:
    return Workload(
        route="completions",
        max_tokens=TOKENS,
        fixed_length=True,
        seed=1,
        prompts=len(plan.prompts),
        rounds=plan.rounds,
        prompts_sha256="0" * 64,
        salt="salt",
    )


def test_one_stream_has_the_engines_own_rate() -> None:
    article = measure(Engine()).article
    assert article is not None
    assert [(one.prompt, one.round) for one in article.requests] == [
        (prompt, number) for number, prompt in itertools.product(range(2), range(3))
    ]
    summary = article.summary
    assert summary.tokens_per_s_stream == pytest.approx(TOKENS / 0.2)
    assert summary.decode_tokens_per_s_stream == pytest.approx(100.0)
    assert summary.tokens_per_s == pytest.approx(TOKENS / 0.2)
    assert summary.first_token_ms is not None
    assert summary.first_token_ms.p99 == pytest.approx(100.0)
    assert summary.tokens_per_s_rounds == pytest.approx((55.0, 55.0))
    # At $3.6 an hour a dollar buys 1000 s.
    assert summary.usd_per_million_output_tokens == pytest.approx(1e6 / 55 / 1000)


def test_the_sweep_ends_where_more_streams_bring_no_more() -> None:
    closed = [point for point in measure(Engine(slots=4)).sweep if point.loop == "closed"]
    assert [point.concurrency for point in closed] == [1, 2, 4, 8]
    rates = [point.summary.tokens_per_s for point in closed]
    assert rates == pytest.approx([55.0, 110.0, 220.0, 220.0], rel=0.06)


def test_streams_beyond_the_slots_wait_for_their_first_token() -> None:
    closed = [point for point in measure(Engine(slots=4)).sweep if point.loop == "closed"]
    first_token = closed[-1].summary.first_token_ms
    assert first_token is not None
    assert first_token.p90 == pytest.approx(300.0)


def test_the_sweep_goes_no_further_than_it_may() -> None:
    measured = measure(Engine(slots=64), replace(PLAN, most_streams=5))
    assert [point.concurrency for point in measured.sweep if point.loop == "closed"] == [1, 2, 4]
    said = list(remarks(measured, workload(), None, PRICE))
    assert any("not saturated: 4 streams" in remark for remark in said)


def test_the_sweep_ends_where_too_many_requests_fail() -> None:
    # Warm-up 2, article 6, token check none: from the closed loop of one stream on, everything fails.
    engine = Engine(usage=False, failing=frozenset(range(9, 10_000)))
    measured = measure(engine, replace(PLAN, seconds=0.0))
    closed = [point for point in measured.sweep if point.loop == "closed"]
    assert len(closed) == 1
    assert closed[0].summary.errors == {"throttled": 1}
    said = list(remarks(measured, workload(), None, PRICE))
    assert any("closed loop with 1 stream: 1 of 1 failed: 1 throttled" in remark for remark in said)


def test_an_open_loop_gets_a_share_of_the_most_that_was_served() -> None:
    measured = measure(Engine(slots=4))
    (point,) = (point for point in measured.sweep if point.loop == "open")
    # Four slots, 0.2 s each: 20 requests a second.
    assert point.arrivals_per_s == pytest.approx(10.0, rel=0.06)
    assert point.concurrency is None
    assert len(point.requests) == pytest.approx(40, abs=3)


def test_given_arrivals_are_taken_as_they_are() -> None:
    measured = measure(Engine(), replace(PLAN, arrivals_per_s=(3.0, 7.0)))
    assert [point.arrivals_per_s for point in measured.sweep if point.loop == "open"] == [3.0, 7.0]


def test_no_two_requests_of_a_run_begin_alike() -> None:
    engine = Engine()
    measure(engine)
    prompts = [
        fields["prompt"]
        for fields in engine.asked
        if fields["max_tokens"] > 1  # those count tokens
    ]
    assert len({prompt[: len("[salt-00000]")] for prompt in prompts}) == len(prompts)


def test_the_warm_up_is_not_measured() -> None:
    engine = Engine()
    measured = measure(engine)
    recorded = sum(len(point.requests) for point in measured.points)
    warm = [fields for fields in engine.asked if fields["max_tokens"] == 8]
    closed = [point.concurrency or 0 for point in measured.sweep if point.loop == "closed"]
    assert len(warm) == 2 + sum(closed)
    assert recorded == sum(fields["max_tokens"] == TOKENS for fields in engine.asked)


def test_an_engine_that_answers_nothing_is_an_error_with_its_reason() -> None:
    engine = Engine(failing=frozenset(range(10)))
    with pytest.raises(QuantLlmError, match=r"answers no request \(throttled\): 429: try again later"):
        measure(engine)


def test_an_interrupted_run_keeps_what_it_has_and_says_so() -> None:
    async def interrupted() -> Measured:
        task = asyncio.ensure_future(runner(Engine()).run())
        await asyncio.sleep(5.0)  # within the closed loop of one or two streams
        task.cancel()
        return await task

    measured = run(interrupted())
    assert not measured.complete
    assert measured.article is not None
    assert measured.article.complete
    last = measured.sweep[-1]
    assert not last.complete
    assert last.requests
    assert last.summary.tokens_per_s is not None
    said = list(remarks(measured, workload(), None, PRICE))
    assert "the run was interrupted: what is here was measured until then" in said


def test_a_run_that_is_out_of_time_begins_no_more_loads_and_says_so() -> None:
    measured = measure(Engine(slots=64), replace(PLAN, budget_s=8.0))
    assert [point.concurrency for point in measured.sweep] == [1, 2]
    assert measured.complete
    assert any("time was too short" in remark for remark in remarks(measured, workload(), None, PRICE))


def test_a_first_load_that_takes_too_long_leaves_half_of_the_time_to_the_others() -> None:
    # Twelve requests of 0.2 s would take 2.4 s; half of the time is 1 s.
    plan = replace(PLAN, rounds=4, budget_s=2.0, seconds=0.1)
    measured = measure(Engine(slots=64, usage=False), plan)
    assert measured.article is not None
    assert len(measured.article.requests) == pytest.approx(5, abs=1)
    assert len(measured.sweep) > 1
    assert not measured.in_time


def test_the_count_of_tokens_is_checked_by_the_endpoints_own_tokenizer() -> None:
    check = measure(Engine()).token_check
    assert check is not None
    # The engine's text is a word a token, and it counts a prompt's words.
    assert (check.answers, check.usage, check.pieces, check.retokenised) == (5, 55, 55, 55)
    assert check.agrees


def test_without_usage_the_pieces_of_text_are_counted_and_a_remark_says_so() -> None:
    measured = measure(Engine(usage=False))
    assert measured.token_check is None
    assert measured.article is not None
    assert measured.article.summary.tokens_per_s_stream == pytest.approx(55.0)
    said = list(remarks(measured, workload(), None, PRICE))
    assert any("told no usage" in remark for remark in said)


def test_the_gpus_memory_is_noted_where_it_is_told() -> None:
    one = runner(Engine())
    one.memory = lambda: 1234.0
    measured = run(one.run())
    assert {point.gpu_memory_used_mib for point in measured.points} == {1234.0}
