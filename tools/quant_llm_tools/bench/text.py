"""A result for the terminal."""

from __future__ import annotations

from quant_llm_tools.bench.results import Benchmark, Percentiles, Point

HEAD = ("load", "tok/s", "a stream", "first token, ms", "between, ms", "in all, ms", "errors", "$/M output")
_KNOWN = (
    "target", "instance_type", "gpu_model", "driver", "engine_build", "model", "quantization", "lock_digest",
)  # fmt: skip


def text(benchmark: Benchmark) -> str:
    """What was measured, a line for each point, and the remarks."""
    environment = benchmark.environment.model_dump()
    known = [f"{name.replace('_', ' ')}: {environment[name]}" for name in _KNOWN if environment[name]]
    notes = ["latencies are p50/p90/p99"]
    if benchmark.generator is not None:
        ceiling = benchmark.generator
        notes.append(f"the load generator can read {ceiling.pieces_per_s:.0f} pieces/s here")
    notes += [f"note: {remark}" for remark in benchmark.warnings]
    return "\n".join((benchmark.name, *known, "", *table([HEAD, *rows(benchmark)]), "", *notes))


def rows(benchmark: Benchmark) -> list[tuple[str, ...]]:
    """A row for each point, under `HEAD`."""
    points = [("one stream", benchmark.article)] if benchmark.article else []
    points += [(_load(point), point) for point in (*benchmark.closed, *benchmark.open)]
    return [_row(name, point) for name, point in points if point is not None]


def _load(point: Point) -> str:
    if point.loop == "open":
        return f"{point.arrivals_per_s:.3g} req/s"
    return f"{point.concurrency} stream{'s' * (point.concurrency != 1)}"


def _row(name: str, point: Point) -> tuple[str, ...]:
    summary = point.summary
    return (
        name + ("" if point.complete else " (interrupted)"),
        number(summary.tokens_per_s, 1),
        number(summary.tokens_per_s_stream, 1),
        _percentiles(summary.first_token_ms, 0),
        _percentiles(summary.inter_token_ms, 1),
        _percentiles(summary.end_to_end_ms, 0),
        str(summary.error_count),
        number(summary.usd_per_million_output_tokens, 2),
    )


def number(value: float | None, digits: int) -> str:
    """With so many digits, or that it is unknown."""
    return "unknown" if value is None else f"{value:,.{digits}f}"


def _percentiles(value: Percentiles | None, digits: int) -> str:
    if value is None:
        return "unknown"
    return "/".join(f"{one:.{digits}f}" for one in (value.p50, value.p90, value.p99))


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
