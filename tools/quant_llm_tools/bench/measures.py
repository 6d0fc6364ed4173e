"""From a point's requests to its numbers: percentiles, rates and cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from quant_llm_tools.bench.cost import usd_per_million_output_tokens
from quant_llm_tools.bench.results import Percentiles, Price, Request, Summary

# Times are kept to a hundredth of a millisecond.
_ROUNDING_S = 1e-5


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sorted samples lie, interpolated linearly.

    Hyndman and Fan's definition 7 (The American Statistician 50, 1996), which is numpy's default.
    """
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return low + (high - low) * (position - below)


def percentiles(samples: Iterable[float]) -> Percentiles | None:
    """p50, p90 and p99; None without a sample."""
    ordered = sorted(samples)
    if not ordered:
        return None
    return Percentiles(
        p50=percentile(ordered, 0.5), p90=percentile(ordered, 0.9), p99=percentile(ordered, 0.99)
    )


def summarise(requests: Sequence[Request], full_load_s: float, price: Price | None) -> Summary:
    """All numbers of a point. `full_load_s` are the seconds from its start in which the load was whole."""
    well = [request for request in requests if request.error is None]
    total = _tokens_until(well, full_load_s) / full_load_s if well and full_load_s > 0 else None
    return Summary(
        requests=len(requests),
        errors=dict(sorted(Counter(one.error for one in requests if one.error).items())),
        output_tokens=sum(map(tokens, well)),
        tokens_per_s=total,
        tokens_per_s_stream=_mean(map(stream_rate, well)),
        decode_tokens_per_s_stream=_mean(rate for one in well if (rate := decode_rate(one)) is not None),
        tokens_per_s_rounds=tuple(_round_means(well)),
        requests_per_s=_ended_until(well, full_load_s) / full_load_s if well and full_load_s > 0 else None,
        first_token_ms=percentiles(one.first_ms for one in well if one.first_ms is not None),
        inter_token_ms=percentiles(gap for one in well for gap in one.gaps_ms),
        end_to_end_ms=percentiles(one.end_ms for one in well),
        usd_per_million_output_tokens=usd_per_million_output_tokens(price, total),
    )


def tokens(request: Request) -> int:
    """Output tokens by the engine's usage; by the pieces of text if it told none."""
    return pieces(request) if request.output_tokens is None else request.output_tokens


def pieces(request: Request) -> int:
    """How many pieces of text came."""
    return 0 if request.first_ms is None else 1 + len(request.gaps_ms)


def stream_rate(request: Request) -> float:
    """Output tokens a second of the whole request, the time to the first token included."""
    return tokens(request) / (request.end_ms / 1000) if request.end_ms else 0.0


def decode_rate(request: Request) -> float | None:
    """Output tokens a second after the first; None if there was one piece only."""
    seconds = sum(request.gaps_ms) / 1000
    return (tokens(request) - 1) / seconds if seconds > 0 and tokens(request) > 1 else None


def _tokens_until(requests: Iterable[Request], end_s: float) -> float:
    """Tokens that came until `end_s`; a piece stands for tokens / pieces of its answer."""
    total = 0.0
    for request in requests:
        came = sum(moment <= end_s + _ROUNDING_S for moment in _arrivals_s(request))
        total += came * tokens(request) / pieces(request)
    return total


def _ended_until(requests: Iterable[Request], end_s: float) -> int:
    return sum(request.due_s + request.end_ms / 1000 <= end_s + _ROUNDING_S for request in requests)


def _arrivals_s(request: Request) -> Iterator[float]:
    """When each piece came, in seconds since the start of the point."""
    if request.first_ms is None:
        return
    moment = request.first_ms
    yield request.due_s + moment / 1000
    for gap in request.gaps_ms:
        moment += gap
        yield request.due_s + moment / 1000


def _round_means(requests: Iterable[Request]) -> Iterator[float]:
    rounds: dict[int, list[float]] = {}
    for request in requests:
        rounds.setdefault(request.round, []).append(stream_rate(request))
    for number in sorted(rounds):
        yield fmean(rounds[number])


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None
