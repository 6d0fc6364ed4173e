"""The tables of speed in docs/benchmarks.md and the README, from results/gpu-table.json.

`python -m benchmarks.speed_table` writes them into both pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu-table.json"
BANDWIDTH = 3.35e12
"""Bytes a second of an H100 SXM's memory, by its data sheet."""

BASELINE = "Transformers BF16"


@dataclass(frozen=True)
class Row:
    """A model served in one way. Rates are tokens a second of all streams together."""

    shape: str
    way: str
    one_stream: float
    first_token_ms: float | None  # None: all text came with the end
    many_streams: float
    direct: tuple[float, float] | None  # the same rates at the engine's own socket
    weight_bytes: int
    peak_mib: float

    @property
    def bandwidth_share(self) -> float:
        """Of what the memory gives: each token reads all weights but the input embedding."""
        return self.weight_bytes * self.one_stream / BANDWIDTH


def read(results: Mapping[str, Any]) -> list[Row]:
    """The rows of a results file, which benchmarks/gpu/table.py wrote; what failed is left out."""
    return [_row(row) for row in results["rows"] if "error" not in row]


def _row(row: Mapping[str, Any]) -> Row:
    one, many = row["streams_1"], row["streams_32"]
    way = "container" if "container" in one else "in_process"
    direct = None
    if "direct" in one:
        direct = one["direct"]["tokens_per_s"], many["direct"]["tokens_per_s"]
    return Row(
        shape=row["shape"],
        way=row["way"],
        one_stream=one[way]["tokens_per_s"],
        first_token_ms=_first_token(one[way], row["loads"][0]["tokens"]),
        many_streams=many[way]["tokens_per_s"],
        direct=direct,
        weight_bytes=row["weight_bytes"],
        peak_mib=row["peak_mib"],
    )


def _first_token(measured: Mapping[str, float], tokens: int) -> float | None:
    """Milliseconds to it. A model with random weights may say nothing that is text until its last token."""
    milliseconds = measured["ttft_ms"]
    return None if milliseconds > 0.98 * tokens / measured["tokens_per_s"] * 1e3 else milliseconds


def multiples(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """How many times as fast as the same shape in Transformers each row is, at one stream."""
    baselines = {row.shape: row.one_stream for row in rows if row.way == BASELINE}
    return {(row.shape, row.way): row.one_stream / baselines[row.shape] for row in rows}


def versions(results: Mapping[str, Any]) -> str:
    """What it was measured on."""
    machine = results["machine"]
    engines = ", ".join(f"{name} {machine[name]}" for name in ("transformers", "exllamav2", "torch"))
    return (
        f"{machine['gpu']}, driver {machine['driver']}, {machine['date'][:10]}; llama.cpp b11549, {engines}."
    )


def table(results: Mapping[str, Any]) -> str:
    """Every row, with all that was measured."""
    rows = read(results)
    times = multiples(rows)
    lines = [
        versions(results),
        "",
        "| shape | served as | tokens/s, 1 stream | times BF16 | of the memory's bandwidth "
        "| first token, ms | tokens/s, 32 streams | at the engine's socket: 1 and 32 streams "
        "| GPU memory, GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        direct = f"{row.direct[0]:,.0f}, {row.direct[1]:,.0f}" if row.direct else "no server"
        first = "-" if row.first_token_ms is None else f"{row.first_token_ms:,.0f}"
        lines.append(
            f"| {row.shape} | {row.way} | {row.one_stream:,.0f} "
            f"| {times[row.shape, row.way]:.1f} | {row.bandwidth_share:.0%} | {first} "
            f"| {row.many_streams:,.0f} | {direct} | {row.peak_mib / 1024:,.1f} |"
        )
    return "\n".join(lines) + "\n"


def short_table(results: Mapping[str, Any]) -> str:
    """A row for each way, a column for each shape: tokens a second at one stream, and the multiple."""
    rows = read(results)
    times = multiples(rows)
    shapes = list(dict.fromkeys(row.shape for row in rows))
    cells = {(row.shape, row.way): row for row in rows}
    lines = [
        f"| tokens/s of one stream | {' | '.join(shapes)} |",
        f"|---|{'---|' * len(shapes)}",
    ]
    for way in dict.fromkeys(row.way for row in rows):
        written = [
            f"{row.one_stream:,.0f} ({times[shape, way]:.1f}x)" if (row := cells.get((shape, way))) else "-"
            for shape in shapes
        ]
        lines.append(f"| {way} | {' | '.join(written)} |")
    return "\n".join(["", *lines, "", versions(results)]) + "\n"


PAGES = {ROOT / "docs" / "benchmarks.md": table, ROOT / "README.md": short_table}
BEGIN, END = "<!-- speed: begin -->\n", "<!-- speed: end -->\n"


def page(text: str, made: str) -> str:
    """The page with its table made anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"a page has no {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + made + END + after


if __name__ == "__main__":
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    for file, make in PAGES.items():
        file.write_text(page(file.read_text(encoding="utf-8"), make(measured)), encoding="utf-8")
