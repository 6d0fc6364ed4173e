"""What a reader of the numbers must know about them."""

from __future__ import annotations

from collections.abc import Iterator

from quant_llm_tools.bench.generator import MOST_OF_A_CORE, MOST_OF_CEILING
from quant_llm_tools.bench.measures import percentile, tokens
from quant_llm_tools.bench.results import Generator, Point, Price, TokenCheck, Workload
from quant_llm_tools.bench.runner import SATURATED_BELOW, Measured

_LATE_S = 0.01
_ALMOST_ALL = 0.99


def remarks(
    measured: Measured, workload: Workload, generator: Generator | None, price: Price | None
) -> Iterator[str]:
    """One sentence for each."""
    if not measured.complete:
        yield "the run was interrupted: what is here was measured until then"
    elif not measured.in_time:
        yield "the time was too short for all loads: what is missing was not measured"
    yield from _about_generator(generator)
    yield from _about_tokens(measured, workload)
    for point in measured.points:
        yield from _about_point(point)
    yield from _about_saturation(measured)
    if price is None:
        yield "no price is known: --instance-type with --region, or --usd-per-hour, gives the cost"
    elif price.basis == "estimate":
        yield f"the price is an estimate: {price.note}"


def name_of(point: Point) -> str:
    """A point in words."""
    if point.loop == "open":
        return f"open loop with {point.arrivals_per_s:.3g} requests/s"
    return f"closed loop with {point.concurrency} stream{'s' * (point.concurrency != 1)}"


def _about_generator(generator: Generator | None) -> Iterator[str]:
    if generator is not None and generator.bottleneck:
        yield (
            f"the load generator was the bottleneck: a point came to more than {MOST_OF_CEILING:.0%} of the "
            f"{generator.pieces_per_s:.0f} pieces/s that it can read, or took more than "
            f"{MOST_OF_A_CORE:.0%} of a core; the endpoint is faster than these numbers"
        )


def _about_tokens(measured: Measured, workload: Workload) -> Iterator[str]:
    well = [request for point in measured.points for request in point.requests if request.error is None]
    if any(request.output_tokens is None for request in well):
        yield "the engine told no usage for some answers: their tokens are the pieces of text that came"
    check: TokenCheck | None = measured.token_check
    if check is not None and not check.agrees:
        yield (
            f"the engine's count of tokens is in doubt: {check.usage} by its usage, {check.pieces} pieces of "
            f"text, {check.retokenised if check.retokenised is not None else 'unknown'} counted again"
        )
    short = sum(tokens(request) < workload.max_tokens for request in well)
    if short:
        yield f"{short} of {len(well)} answers had fewer than {workload.max_tokens} tokens"


def _about_point(point: Point) -> Iterator[str]:
    if point.summary.error_count:
        kinds = ", ".join(f"{count} {kind}" for kind, count in point.summary.errors.items())
        yield f"{name_of(point)}: {point.summary.error_count} of {point.summary.requests} failed: {kinds}"
    late = sorted(request.sent_s - request.due_s for request in point.requests)
    if late and percentile(late, _ALMOST_ALL) > _LATE_S:
        yield (
            f"{name_of(point)}: requests were sent up to {late[-1] * 1000:.0f} ms late; "
            "their latencies count from when they were due"
        )


def _about_saturation(measured: Measured) -> Iterator[str]:
    closed = [point for point in measured.sweep if point.loop == "closed"]
    if not measured.complete or len(closed) < 2:
        return
    before, last = (point.summary.tokens_per_s or 0.0 for point in closed[-2:])
    if before and last >= SATURATED_BELOW * before:
        streams = closed[-1].concurrency
        yield f"not saturated: {streams} streams still brought more, --max-streams goes further"
