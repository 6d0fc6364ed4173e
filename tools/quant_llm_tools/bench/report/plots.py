"""Which numbers of a result go into which plot; None where nothing is known to plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from quant_llm_tools.bench.compare import Comparison
from quant_llm_tools.bench.cost import cost_curve
from quant_llm_tools.bench.report.charts import Bar, Range, bars, curves, ranges
from quant_llm_tools.bench.report.markup import Element, tag
from quant_llm_tools.bench.results import Benchmark, Percentiles, Summary

Results = Mapping[str, Benchmark]
Value = TypeVar("Value")

_STREAMS = "streams at once"
_MIB_A_GIB = 1024
_BYTES_A_GIB = 1024**3


def one_stream(results: Results) -> Element | None:
    """The article's measure, with the slowest and the fastest round."""
    rows = []
    for number, (name, benchmark) in enumerate(results.items()):
        summary = benchmark.article.summary if benchmark.article else None
        if summary is None or summary.tokens_per_s_stream is None:
            continue
        rounds, rate = summary.tokens_per_s_rounds, summary.tokens_per_s_stream
        spread = (min(rounds), max(rounds)) if len(rounds) > 1 else None
        rows.append(Bar(name, number, rate, f"{rate:,.1f} tokens/s", whisker=spread))
    title = "One stream"
    picture = bars(title, "output tokens a second", rows) if rows else None
    caption = "The mean of all requests; the thin line goes from the slowest round to the fastest."
    return _figure(title, picture, caption)


def throughput(results: Results) -> Element | None:
    """Tokens a second of all streams by concurrency."""
    series = _by_streams(results, lambda summary: summary.tokens_per_s)
    title = "Throughput"
    picture = curves(title, _STREAMS, "tokens/s in all", series) if any(series.values()) else None
    return _figure(title, picture, "Closed loops: output tokens a second of all streams together.")


def first_token(results: Results) -> Element | None:
    """Time to the first token by concurrency."""
    return _latency(results, "Time to the first token", lambda summary: summary.first_token_ms)


def between_tokens(results: Results) -> Element | None:
    """Time between tokens by concurrency."""
    return _latency(results, "Time between tokens", lambda summary: summary.inter_token_ms)


def cost(results: Results, comparison: Comparison | None) -> Element | None:
    """US dollars per million output tokens, and where a result stops being cheaper than the baseline."""
    series = {name: cost_curve(benchmark) for name, benchmark in results.items()}
    if not any(series.values()):
        return None
    even_at = {}
    for versus in comparison.others if comparison else ():
        point = versus.break_even
        if point and point.concurrency and point.pays_at and point.concurrency > min(point.pays_at):
            even_at[versus.name] = point.concurrency
    title, unit = "Cost", "$ per million output tokens"
    picture = curves(title, _STREAMS, unit, series, logarithmic_y=True, even_at=even_at)
    caption = "Closed loops, instances that do nothing else."
    return _figure(title, picture, f"{caption} Dotted: as dear as the baseline." if even_at else caption)


def memory(results: Results) -> Element | None:
    """GPU memory: the weights, what was in use, and what there is."""
    rows = []
    for number, (name, benchmark) in enumerate(results.items()):
        environment, best = benchmark.environment, benchmark.best or benchmark.article
        if environment.weight_bytes is None:
            continue
        weights = environment.weight_bytes / _BYTES_A_GIB
        used, there = _gib(best.gpu_memory_used_mib if best else None), _gib(environment.gpu_memory_mib)
        words = [f"weights {weights:.1f} GiB"]
        words += [f"in use {used:.1f}"] if used is not None else []
        words += [f"of {there:.1f}"] if there is not None else []
        rows.append(Bar(name, number, weights, ", ".join(words), whole=used, limit=there))
    title = "Memory"
    picture = bars(title, "GiB", rows) if rows else None
    caption = "Full: weights. Pale: in use at the best load, where known. Dashed: the GPU's memory."
    return _figure(title, picture, caption)


def _latency(results: Results, title: str, of: Callable[[Summary], Percentiles | None]) -> Element | None:
    def known(summary: Summary) -> Range | None:
        value = of(summary)
        # A logarithmic axis has no place for 0, which a stream in one piece gives.
        return Range(value.p50, value.p90, value.p99) if value and value.p50 > 0 else None

    series = _by_streams(results, known)
    picture = ranges(title, _STREAMS, "ms", series) if any(series.values()) else None
    return _figure(title, picture, "Closed loops: the mark is the median, the ticks are p90 and p99.")


def _by_streams(results: Results, of: Callable[[Summary], Value | None]) -> dict[str, dict[int, Value]]:
    return {name: dict(_known(benchmark, of)) for name, benchmark in results.items()}


def _known(benchmark: Benchmark, of: Callable[[Summary], Value | None]) -> Iterable[tuple[int, Value]]:
    for point in benchmark.closed:
        value = of(point.summary)
        if point.concurrency and value is not None:
            yield point.concurrency, value


def _gib(mebibytes: float | None) -> float | None:
    return None if mebibytes is None else mebibytes / _MIB_A_GIB


def _figure(title: str, picture: Element | None, caption: str) -> Element | None:
    if picture is None:
        return None
    return tag("figure", tag("h3", title), picture, tag("figcaption", caption))
