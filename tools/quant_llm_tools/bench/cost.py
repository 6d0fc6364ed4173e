"""US dollars per million output tokens, and from which load on a quantised model no longer pays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from quant_llm_tools.bench.results import Benchmark, Price

_SECONDS_AN_HOUR = 3600
_MILLION = 1_000_000


def usd_per_million_output_tokens(price: Price | None, tokens_per_s: float | None) -> float | None:
    """What a million output tokens cost at this rate, on instances that do nothing else; None if unknown."""
    if price is None or not tokens_per_s:
        return None
    return price.usd_per_hour * price.instances * _MILLION / (tokens_per_s * _SECONDS_AN_HOUR)


@dataclass(frozen=True)
class BreakEven:
    """From which concurrency on one model's tokens cost no less than another's.

    `concurrency` is between two measured ones, interpolated; None if it was not reached. `pays_at` and
    `does_not_pay_at` are the concurrencies that both were measured at, in ascending order.
    """

    concurrency: float | None
    pays_at: tuple[int, ...]
    does_not_pay_at: tuple[int, ...]


def break_even(quantised: Benchmark, baseline: Benchmark) -> BreakEven | None:
    """Where `quantised` stops being the cheaper one; None without two prices and a common concurrency.

    If it is the dearer one already at the least common concurrency, that is the answer. Of several crossings
    the first counts.
    """
    ours, theirs = cost_curve(quantised), cost_curve(baseline)
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    # Of the ratio, the logarithm: a straight line between two points treats 1/2 and 2 alike.
    logs = [(at, math.log(ours[at] / theirs[at])) for at in common]
    return BreakEven(
        _crossing(logs),
        tuple(at for at, log in logs if log < 0),
        tuple(at for at, log in logs if log >= 0),
    )


def cost_curve(benchmark: Benchmark) -> Mapping[int, float]:
    """US dollars per million output tokens by concurrency, where known."""
    return {
        point.concurrency: usd
        for point in benchmark.closed
        if point.concurrency and (usd := point.summary.usd_per_million_output_tokens) is not None
    }


def _crossing(logs: list[tuple[int, float]]) -> float | None:
    """The first concurrency at which the logarithm reaches 0, on a logarithmic axis between two points."""
    for index, (at, log) in enumerate(logs):
        if log < 0:
            continue
        if index == 0 or log == 0:
            return float(at)
        before, log_before = logs[index - 1]
        return float(before * (at / before) ** (-log_before / (log - log_before)))
    return None
