"""A comparison in words: for the terminal, for programs, and in sentences for the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quant_llm_tools.bench.compare import Comparison, Versus
from quant_llm_tools.bench.noise import BATCHES, CONFIDENCE, Ratio
from quant_llm_tools.bench.results import Benchmark
from quant_llm_tools.bench.text import number, table
from quant_llm_tools.plan.advice import SOURCE, advice

UNKNOWN = "unknown"
_NEARLY_LOSSLESS = 8  # bits a weight
METHOD = (
    f"Intervals: {CONFIDENCE:.0%}, Welch's, of the means of {BATCHES} parts of each run. A difference whose "
    "interval holds 1 is inside the noise. Another instance or another day may differ by more."
)
_HEAD = ("one stream", "quantisation", "tok/s", "times", "interval", "first token, ms", "$/M output", "times")
_SWEEP_HEAD = ("streams", "tok/s", "baseline", "a stream, times", "interval", "$/M output", "baseline")


def text(comparison: Comparison) -> str:
    """The table of one stream, a table of the sweep for each, and what follows in sentences."""
    lines = [f"baseline: {comparison.name}", "", *table(_one_stream(comparison))]
    for versus in comparison.others:
        if versus.points:
            lines += ["", f"{versus.name} beside {comparison.name}, by streams", *table(_sweep(versus))]
    lines += ["", *sentences(comparison), METHOD]
    return "\n".join(lines)


def document(comparison: Comparison) -> dict[str, Any]:
    """The same for programs; null is unknown."""
    return {
        "baseline": comparison.name,
        "confidence": CONFIDENCE,
        "results": [
            {
                "name": versus.name,
                "one_stream": _ratio(versus.one_stream),
                "cost_one_stream": versus.cost_one_stream,
                "cost_best": versus.cost_best,
                "break_even_streams": versus.break_even.concurrency if versus.break_even else None,
                "streams": {pair.concurrency: _ratio(pair.speed) for pair in versus.points},
                "differences": list(versus.differences),
            }
            for versus in comparison.others
        ],
        "sentences": list(sentences(comparison)),
    }


def _ratio(ratio: Ratio | None) -> dict[str, Any] | None:
    if ratio is None:
        return None
    return {"times": ratio.value, "low": ratio.low, "high": ratio.high, "noise": ratio.is_noise}


def sentences(comparison: Comparison) -> Iterator[str]:
    """What the comparison says, one sentence for each thing."""
    for versus in comparison.others:
        yield _speed(versus, comparison.name)
        yield from _cost(versus, comparison.name)
        yield from _quality(versus)
        if versus.differences:
            yield f"{versus.name}: compare with care, they differ in {'; '.join(versus.differences)}."


def times(ratio: Ratio | None) -> str:
    """`2.51`, or that it is unknown."""
    return UNKNOWN if ratio is None else f"{ratio.value:.2f}"


def interval(ratio: Ratio | None) -> str:
    """`2.43 to 2.60`, `0.99 to 1.02 (noise)`, or that it is unknown."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return UNKNOWN
    return f"{ratio.low:.2f} to {ratio.high:.2f}" + (" (noise)" if ratio.is_noise else "")


def _speed(versus: Versus, baseline: str) -> str:
    ratio = versus.one_stream
    if ratio is None:
        return f"{versus.name}: no speed of one stream to compare with {baseline}."
    if ratio.is_noise is None:
        return (
            f"{versus.name}: {ratio.value:.2f} times as fast as {baseline} with one stream; "
            "too few requests to say whether that is more than noise."
        )
    if ratio.is_noise:
        return (
            f"{versus.name}: as fast as {baseline} with one stream, as far as was measured: "
            f"{ratio.value:.2f} times is inside the noise ({ratio.low:.2f} to {ratio.high:.2f})."
        )
    return (
        f"{versus.name}: {ratio.value:.2f} times as fast as {baseline} with one stream "
        f"({ratio.low:.2f} to {ratio.high:.2f})."
    )


def _cost(versus: Versus, baseline: str) -> Iterator[str]:
    if versus.cost_one_stream is not None and versus.cost_best is not None:
        yield (
            f"{versus.name}: a token costs {versus.cost_one_stream:.2f} of {baseline}'s with one stream, "
            f"{versus.cost_best:.2f} with each at its best load."
        )
    point = versus.break_even
    if point is None:
        return
    pays, does_not = _listed(point.pays_at), _listed(point.does_not_pay_at)
    if point.concurrency is None:
        yield f"{versus.name}: cheaper than {baseline} at every load measured: {pays} streams."
    elif not point.pays_at:
        yield f"{versus.name}: cheaper than {baseline} at no load measured: {does_not} streams."
    elif point.concurrency < min(point.pays_at):
        yield f"{versus.name}: cheaper than {baseline} at {pays} streams only, not at {does_not}."
    else:
        yield (
            f"{versus.name}: stops being cheaper than {baseline} at about {point.concurrency:.0f} streams "
            f"(cheaper at {pays}, not at {does_not})."
        )


def _quality(versus: Versus) -> Iterator[str]:
    """No one shall read speed alone."""
    environment = versus.benchmark.environment
    if versus.fewer_bits and environment.parameters and environment.bits_per_weight:
        lossless = environment.bits_per_weight >= _NEARLY_LOSSLESS
        loss = "8 bits are nearly lossless" if lossless else advice(environment.parameters).because
        yield (
            f"{versus.name}: beside the speed, the answers. {environment.bits_per_weight:.3g} bits a weight: "
            f"{loss} (published for {SOURCE}; not measured here)."
        )


def _one_stream(comparison: Comparison) -> list[tuple[str, ...]]:
    rows = [_HEAD, _row(comparison.name, comparison.baseline, "1", "", "1")]
    for versus in comparison.others:
        speed = versus.one_stream
        cost = number(versus.cost_one_stream, 2)
        rows.append(_row(versus.name, versus.benchmark, times(speed), interval(speed), cost))
    return rows


def _row(name: str, benchmark: Benchmark, speed: str, bounds: str, cost: str) -> tuple[str, ...]:
    summary = benchmark.article.summary if benchmark.article else None
    return (
        name,
        benchmark.environment.quantization or UNKNOWN,
        number(summary.tokens_per_s_stream if summary else None, 1),
        speed,
        bounds,
        number(summary.first_token_ms.p50 if summary and summary.first_token_ms else None, 0),
        number(summary.usd_per_million_output_tokens if summary else None, 2),
        cost,
    )


def _sweep(versus: Versus) -> list[tuple[str, ...]]:
    return [
        _SWEEP_HEAD,
        *(
            (
                str(pair.concurrency),
                number(pair.ours.summary.tokens_per_s, 1),
                number(pair.baseline.summary.tokens_per_s, 1),
                times(pair.speed),
                interval(pair.speed),
                number(pair.ours.summary.usd_per_million_output_tokens, 2),
                number(pair.baseline.summary.usd_per_million_output_tokens, 2),
            )
            for pair in versus.points
        ),
    ]


def _listed(concurrencies: tuple[int, ...]) -> str:
    return ", ".join(map(str, concurrencies))
