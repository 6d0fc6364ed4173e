"""From which load on a quantised model does not pay any more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.bench.cost import break_even, cost_curve, usd_per_million_output_tokens
from quant_llm_tools.bench.results import Benchmark
from tests.unit.bench.made import PRICE, benchmark, point


def curve(rates: dict[int, float]) -> Benchmark:
    return benchmark(*(point(streams, rate) for streams, rate in rates.items()))


def test_it_lies_between_the_loads_around_it_and_where_the_lines_meet() -> None:
    # At 4 streams the quantised one is twice as fast, at 16 half as fast: even at 8, on a logarithmic axis.
    found = break_even(curve({1: 40, 4: 200, 16: 400}), curve({1: 10, 4: 100, 16: 800}))
    assert found is not None
    assert found.concurrency == pytest.approx(8.0)
    assert found.pays_at == (1, 4)
    assert found.does_not_pay_at == (16,)


def test_it_is_none_where_the_quantised_one_always_pays() -> None:
    found = break_even(curve({1: 40, 2: 80}), curve({1: 10, 2: 70}))
    assert found is not None
    assert found.concurrency is None
    assert found.does_not_pay_at == ()


def test_it_is_the_least_load_where_it_never_pays() -> None:
    found = break_even(curve({1: 10, 2: 20}), curve({1: 40, 2: 90}))
    assert found is not None
    assert found.concurrency == 1.0
    assert found.pays_at == ()


def test_only_loads_that_both_were_measured_at_are_compared() -> None:
    found = break_even(curve({1: 40, 2: 50, 8: 60}), curve({1: 20, 4: 60, 8: 90}))
    assert found is not None
    assert found.pays_at == (1,)
    assert found.does_not_pay_at == (8,)


@pytest.mark.parametrize(
    "other", [benchmark(point(1, 10, price=None), price=None), benchmark(point(2, 10)), benchmark()]
)
def test_without_a_common_load_with_two_prices_there_is_no_answer(other: Benchmark) -> None:
    assert break_even(curve({1: 10}), other) is None


@given(st.floats(1.1, 50), st.floats(0.02, 0.9), st.integers(1, 16), st.integers(2, 8), st.floats(0.1, 50))
def test_at_the_crossing_both_interpolated_costs_are_equal(
    before: float, after: float, low: int, factor: int, price: float
) -> None:
    """`before` and `after`: how many times as fast the quantised one is at the two loads."""
    high = low * factor
    base = {low: 100.0, high: 1000.0}
    costs = []
    for rates in ({low: base[low] * before, high: base[high] * after}, base):
        points = []
        for streams, rate in rates.items():
            usd = usd_per_million_output_tokens(PRICE.model_copy(update={"usd_per_hour": price}), rate)
            made = point(streams, 2)
            summary = made.summary.model_copy(update={"usd_per_million_output_tokens": usd})
            points.append(made.model_copy(update={"summary": summary}))
        costs.append(benchmark(*points))
    found = break_even(*costs)
    assert found is not None
    assert found.concurrency is not None
    assert low <= found.concurrency <= high

    def at(result: Benchmark) -> float:
        curve = cost_curve(result)
        share = math.log(found.concurrency / low) / math.log(factor)  # type: ignore[operator] # asserted above
        return math.log(curve[low]) + share * (math.log(curve[high]) - math.log(curve[low]))

    assert at(costs[0]) == pytest.approx(at(costs[1]), abs=1e-9)


def test_cost_counts_all_instances() -> None:
    two = PRICE.model_copy(update={"instances": 2})
    assert usd_per_million_output_tokens(PRICE, 1000) == pytest.approx(1.0)
    assert usd_per_million_output_tokens(two, 1000) == pytest.approx(2.0)
    assert usd_per_million_output_tokens(None, 1000) is None
    assert usd_per_million_output_tokens(PRICE, 0) is None
