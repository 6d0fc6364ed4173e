"""What a reader of the numbers is told, and when not."""

from __future__ import annotations

import pytest

from quant_llm_tools.bench.generator import judged
from quant_llm_tools.bench.remarks import remarks
from quant_llm_tools.bench.results import Generator, Point, Price, TokenCheck
from quant_llm_tools.bench.runner import Measured
from tests.unit.bench.made import PRICE, benchmark, point

WORKLOAD = benchmark().workload.model_copy(update={"max_tokens": 100})


def said(
    *points: Point,
    generator: Generator | None = None,
    price: Price | None = PRICE,
    check: TokenCheck | None = None,
) -> str:
    measured = Measured(token_check=check, sweep=list(points), complete=True)
    return "\n".join(remarks(measured, WORKLOAD, generator, price))


def test_a_run_without_a_fault_gets_no_remark() -> None:
    # The first two loads are even, so more streams would bring nothing.
    assert said(point(1, 100), point(2, 100), generator=judged(2, 1000, [point(1, 100)])) == ""


def test_answers_that_ended_too_soon_are_counted() -> None:
    assert "1 of 2 answers had fewer than 100 tokens" in said(point(1, 100), point(2, 60))


def test_requests_that_were_sent_late_are_told_with_the_delay() -> None:
    (one,) = point(1, 100).requests
    late = point(1, 100).model_copy(update={"requests": (one.model_copy(update={"sent_s": 0.25}),)})
    assert "closed loop with 1 stream: requests were sent up to 250 ms late" in said(late)
    barely = point(1, 100).model_copy(update={"requests": (one.model_copy(update={"sent_s": 0.009}),)})
    assert said(barely) == ""


def test_errors_are_told_by_kind() -> None:
    assert "closed loop with 2 streams: 3 of 4 failed: 3 throttled" in said(point(2, 100, errors=3))


def test_a_sweep_that_still_grew_is_not_saturated() -> None:
    assert "not saturated: 2 streams" in said(point(1, 100), point(2, 150))


def test_tokens_in_doubt_are_told_with_all_counts() -> None:
    check = TokenCheck(answers=5, usage=100, pieces=50, retokenised=None, agrees=False)
    assert "100 by its usage, 50 pieces of text, unknown counted again" in said(point(1, 100), check=check)
    assert said(point(1, 100), check=check.model_copy(update={"agrees": True})) == ""


def test_a_price_that_is_unknown_or_an_estimate_is_told() -> None:
    assert "no price is known" in said(point(1, 100), price=None)
    estimate = PRICE.model_copy(update={"basis": "estimate", "note": "EC2's times 1.4"})
    assert "the price is an estimate: EC2's times 1.4" in said(point(1, 100), price=estimate)


@pytest.mark.parametrize(
    ("tokens_per_s", "cpu", "bottleneck"), [(100, 0.1, False), (600, 0.1, True), (100, 0.9, True)]
)
def test_a_generator_near_its_ceiling_or_at_the_end_of_its_core_is_the_bottleneck(
    tokens_per_s: float, cpu: float, bottleneck: bool
) -> None:
    near = point(4, tokens_per_s).model_copy(update={"generator_cpu": cpu})
    generator = judged(4, 1000, [point(1, 100), near])
    assert generator.bottleneck is bottleneck
    assert ("the load generator was the bottleneck" in said(near, generator=generator)) is bottleneck
