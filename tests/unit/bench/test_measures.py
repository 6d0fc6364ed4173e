"""Percentiles, rates and cost, held against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.bench.measures import decode_rate, percentile, percentiles, stream_rate, summarise
from quant_llm_tools.bench.results import Request
from tests.unit.bench.made import PRICE, failed, request

MILLISECONDS = st.floats(min_value=0.01, max_value=1e5)
REQUESTS = st.lists(
    st.builds(
        request,
        due_s=st.floats(min_value=0, max_value=100),
        first_ms=MILLISECONDS,
        gaps_ms=st.lists(MILLISECONDS, min_size=1, max_size=8),
        round_=st.integers(min_value=0, max_value=3),
        output_tokens=st.none() | st.integers(min_value=1, max_value=50),
    ),
    min_size=1,
    max_size=12,
)


def arrivals_s(one: Request) -> np.ndarray:
    assert one.first_ms is not None
    return one.due_s + np.cumsum([one.first_ms, *one.gaps_ms]) / 1000


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_percentiles_are_numpys(samples: list[float], share: float) -> None:
    ours = percentile(sorted(samples), share)
    assert ours == pytest.approx(float(np.percentile(samples, 100 * share)), rel=1e-9, abs=1e-6)


def test_no_samples_have_no_percentiles() -> None:
    assert percentiles([]) is None


@given(REQUESTS, st.floats(min_value=0.1, max_value=200))
def test_numbers_of_a_point_are_numpys(requests: list[Request], full_load_s: float) -> None:
    summary = summarise(requests, full_load_s, PRICE)
    every = np.array([one.output_tokens for one in requests])
    ends = np.array([one.end_ms for one in requests])
    assert summary.output_tokens == int(every.sum())
    assert summary.tokens_per_s_stream == pytest.approx(float(np.mean(every / ends * 1000)))
    in_time = [
        one.output_tokens * np.mean(arrivals_s(one) <= full_load_s + 1e-5)
        for one in requests
        if one.output_tokens is not None
    ]
    assert summary.tokens_per_s == pytest.approx(float(np.sum(in_time)) / full_load_s)
    gaps = np.concatenate([one.gaps_ms for one in requests])
    assert summary.inter_token_ms is not None
    assert summary.inter_token_ms.p90 == pytest.approx(float(np.percentile(gaps, 90)))
    assert summary.end_to_end_ms is not None
    assert summary.end_to_end_ms.p99 == pytest.approx(float(np.percentile(ends, 99)))
    rounds = np.array([one.round for one in requests])
    by_round = [float(np.mean((every / ends * 1000)[rounds == number])) for number in np.unique(rounds)]
    assert summary.tokens_per_s_rounds == pytest.approx(tuple(by_round))


@given(REQUESTS, st.floats(min_value=0.1, max_value=200))
def test_cost_is_the_price_of_the_time_that_a_million_tokens_take(
    requests: list[Request], full_load_s: float
) -> None:
    summary = summarise(requests, full_load_s, PRICE)
    if not summary.tokens_per_s:
        assert summary.usd_per_million_output_tokens is None
    else:
        hours = np.float64(1e6) / summary.tokens_per_s / 3600
        assert summary.usd_per_million_output_tokens == pytest.approx(float(hours * PRICE.usd_per_hour))


def test_failed_requests_are_counted_by_kind_and_enter_no_rate() -> None:
    well = [request(), request()]
    summary = summarise([*well, failed(), failed(), failed("timeout")], 1.0, None)
    assert summary.errors == {"throttled": 2, "timeout": 1}
    assert summary.error_count == 3
    assert summary.requests == 5
    assert summary.tokens_per_s_stream == summarise(well, 1.0, None).tokens_per_s_stream
    assert summary.end_to_end_ms == summarise(well, 1.0, None).end_to_end_ms


def test_nothing_that_went_well_has_no_numbers() -> None:
    summary = summarise([failed()], 1.0, PRICE)
    assert summary.tokens_per_s is None
    assert summary.first_token_ms is None
    assert summary.usd_per_million_output_tokens is None


def test_tokens_after_the_full_load_do_not_count() -> None:
    # Of four tokens at 100, 110, 120 and 130 ms two come within 115 ms.
    assert summarise([request()], 0.115, None).tokens_per_s == pytest.approx(2 / 0.115)


def test_the_decode_rate_leaves_the_first_token_out() -> None:
    one = request(first_ms=500.0, gaps_ms=[10.0] * 10)
    assert decode_rate(one) == pytest.approx(100.0)
    assert stream_rate(one) == pytest.approx(11 / 0.6)
    assert decode_rate(request(gaps_ms=[])) is None


def test_tokens_without_usage_are_the_pieces_of_text() -> None:
    one = request().model_copy(update={"output_tokens": None})
    assert summarise([one], 1.0, None).output_tokens == 4
