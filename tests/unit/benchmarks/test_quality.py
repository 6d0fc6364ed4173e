"""The numbers of the quality benchmark, on distributions that are known."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality_comparison import Row, divergence, table


def logarithms(weights: list[float]) -> dict[int, float]:
    return {token: math.log(weight / sum(weights)) for token, weight in enumerate(weights)}


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)), min_size=2, max_size=30))
def test_divergence_of_whole_distributions_is_the_textbooks(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (numpy.array(weights) / sum(weights) for weights in zip(*pairs, strict=True))
    expected = float(numpy.sum(ours * numpy.log(ours / theirs)))
    got = divergence(logarithms([one for one, _ in pairs]), logarithms([other for _, other in pairs]))
    assert got == pytest.approx(expected, abs=1e-6)


def test_divergence_from_itself_is_none_also_when_the_rest_is_not_listed() -> None:
    part = {1: math.log(0.5), 2: math.log(0.2)}
    assert divergence(part, part) == pytest.approx(0)


def test_tokens_that_the_other_does_not_list_count_as_its_least_likely_one() -> None:
    reference = {1: math.log(0.6), 2: math.log(0.4)}
    other = {1: math.log(0.6), 3: math.log(0.3)}
    assert divergence(reference, other) >= 0.4 * math.log(0.4 / 0.3) - 1e-6


def test_table_shows_counts_and_not_shares_of_unknown_size() -> None:
    row = Row("Q8_0", 144.9, positions=600, same_token=590, common_tokens=81.25, divergence=0.0012)
    assert list(table([row]))[1].split() == ["Q8_0", "145", "590", "of", "600", "81.2", "0.0012"]
