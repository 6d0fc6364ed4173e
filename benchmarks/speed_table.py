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
    first_token_ms: float
    many_streams: float
    direct: tuple[float, float] | None  # the same rates at the engine's own socket
    weight_bytes: int
    peak_mib: float
    run: int  # what was measured one after the other on one machine; 0 is the first, and most of it

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
        first_token_ms=one[way]["ttft_ms"],
        many_streams=many[way]["tokens_per_s"],
        direct=direct,
        weight_bytes=row["weight_bytes"],
        peak_mib=row["peak_mib"],
        run=row.get("run", 0),
    )


def multiples(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """How many times as fast as the same shape in Transformers each row is, at one stream.

    That is of the row's own run, and of the first where its own has none. Of several baselines the first
    one's multiple is told.
    """
    baselines = {(row.shape, row.run): row.one_stream for row in rows if row.way == BASELINE}
    times: dict[tuple[str, str], float] = {}
    for row in sorted(rows, key=lambda row: row.run):
        baseline = baselines.get((row.shape, row.run), baselines.get((row.shape, 0)))
        if baseline is not None:
            times.setdefault((row.shape, row.way), row.one_stream / baseline)
    return times


def shown(rows: Sequence[Row]) -> list[Row]:
    """The rows without the later runs' baselines, which are there to be compared to."""
    return [row for row in rows if row.run == 0 or row.way != BASELINE]


def note(rows: Sequence[Row]) -> list[str]:
    """What the mark of the later runs' rows means."""
    later = [row for row in rows if row.run]
    if not later:
        return []
    baselines = {(row.shape, row.run): row.one_stream for row in later if row.way == BASELINE}
    rates = ", ".join(f"{rate:,.0f} tokens/s at {shape}" for (shape, _), rate in sorted(baselines.items()))
    without = [row for row in later if (row.shape, row.run) not in baselines]
    text = f"† Measured later, on other machines of the same kind, and times BF16 of the same run: {rates}."
    if without:
        names = ", ".join(f"{row.shape} in {row.way}" for row in without)
        text += f" {names}: times BF16 of the first run."
    return ["", text]


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
    for row in shown(rows):
        direct = f"{row.direct[0]:,.0f}, {row.direct[1]:,.0f}" if row.direct else "no server"
        lines.append(
            f"| {row.shape} | {row.way}{' †' if row.run else ''} | {row.one_stream:,.0f} "
            f"| {times[row.shape, row.way]:.1f} | {row.bandwidth_share:.0%} | {row.first_token_ms:,.0f} "
            f"| {row.many_streams:,.0f} | {direct} | {row.peak_mib / 1024:,.1f} |"
        )
    return "\n".join([*lines, *note(rows)]) + "\n"


def short_table(results: Mapping[str, Any]) -> str:
    """A row for each way, a column for each shape: tokens a second at one stream, and the multiple."""
    rows = read(results)
    times = multiples(rows)
    shapes = list(dict.fromkeys(row.shape for row in rows))
    cells = {(row.shape, row.way): row for row in shown(rows)}
    lines = [
        f"| tokens/s of one stream | {' | '.join(shapes)} |",
        f"|---|{'---|' * len(shapes)}",
    ]
    for way in dict.fromkeys(row.way for row in rows):
        written = [
            f"{row.one_stream:,.0f} ({times[shape, way]:.1f}x){' †' if row.run else ''}"
            if (row := cells.get((shape, way)))
            else "-"
            for shape in shapes
        ]
        lines.append(f"| {way} | {' | '.join(written)} |")
    return "\n".join(["", *lines, *note(rows), "", versions(results)]) + "\n"


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
