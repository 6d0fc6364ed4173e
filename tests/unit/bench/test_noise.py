"""When two measured speeds count as different."""

from __future__ import annotations

import random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_llm_tools.bench.measures import stream_rate
from quant_llm_tools.bench.noise import LEAST_REQUESTS, Ratio, ratio_of_rates
from quant_llm_tools.bench.results import Request
from tests.unit.bench.whole_results import request, rounds


def noisy(mean: float, seed: int) -> list[Request]:
    """Rounds that vary, prompts that vary, and a rest."""
    generator, of_prompts = random.Random(seed), random.Random(0)  # noqa: S311 - repeatable
    of_round = [generator.gauss(1, 0.02) for _ in range(5)]
    of_prompt = [of_prompts.uniform(0.5, 1.5) for _ in range(30)]
    return rounds(
        lambda number, prompt: mean * of_round[number] * of_prompt[prompt] * generator.gauss(1, 0.05)
    )


def between(ours: list[Request], theirs: list[Request]) -> tuple[Ratio, float, float]:
    ratio = ratio_of_rates(ours, theirs)
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    return ratio, ratio.low, ratio.high


def test_value_is_the_ratio_of_the_means_and_lies_in_the_interval() -> None:
    ours, theirs = noisy(80, 1), noisy(40, 2)
    ratio, low, high = between(ours, theirs)
    assert ratio.value == pytest.approx(
        numpy.mean([stream_rate(one) for one in ours]) / numpy.mean([stream_rate(one) for one in theirs])
    )
    assert low < ratio.value < high


def test_two_runs_of_the_same_engine_count_as_different_in_5_of_100_cases_at_most() -> None:
    verdicts = [between(noisy(70, seed), noisy(70, seed + 1000))[0].is_noise for seed in range(100)]
    assert verdicts.count(False) <= 5


def test_a_difference_well_above_the_spread_is_no_noise() -> None:
    for seed in range(20):
        ratio, low, _ = between(noisy(84, seed), noisy(70, seed + 1000))
        assert ratio.is_noise is False
        assert low > 1.1


def test_interval_is_wider_where_rounds_disagree() -> None:
    def width(of_rounds: tuple[float, ...]) -> float:
        _, low, high = between(rounds(lambda number, _: 70 * of_rounds[number]), rounds(lambda *_: 70.0))
        return high - low

    assert width((1, 1, 1, 1, 1)) == pytest.approx(0)
    # Of 150 single requests it would be 0.05.
    assert width((0.8, 0.9, 1, 1.1, 1.2)) == pytest.approx(2 * 2.776 * 0.1581 / 5**0.5, rel=0.05)


def test_prompts_that_differ_make_no_noise_when_both_runs_have_the_same() -> None:
    hard = rounds(lambda _, prompt: 20.0 + 3 * prompt)
    twice = rounds(lambda _, prompt: 40.0 + 6 * prompt)
    ratio, low, high = between(twice, hard)
    assert (low, ratio.value, high) == pytest.approx((2, 2, 2))


def test_failed_requests_do_not_count() -> None:
    well = rounds(lambda *_: 50.0)
    failed = well[0].model_copy(update={"error": "server", "end_ms": 1.0})
    assert between([*well, failed], well)[0].value == pytest.approx(1)
    assert ratio_of_rates([failed], well) is None


def test_with_few_requests_no_interval_is_told() -> None:
    few = [request(50, prompt=prompt) for prompt in range(LEAST_REQUESTS - 1)]
    ratio = ratio_of_rates(few, rounds(lambda *_: 25.0))
    assert ratio is not None
    assert ratio.value == pytest.approx(2)
    assert ratio.low is None
    assert ratio.is_noise is None


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.2, 5), seed=st.integers(0, 100), count=st.integers(LEAST_REQUESTS, 150))
def test_scaling_one_side_scales_the_interval(factor: float, seed: int, count: int) -> None:
    theirs = noisy(50, seed)[:count]
    ours = [request(stream_rate(one) * factor, due_s=one.due_s) for one in theirs]
    _, low, high = between(theirs, theirs)
    assert between(ours, theirs)[1:] == pytest.approx((low * factor, high * factor))
