"""Prices and their changes for people, in at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from quant_llm_tools.prices.document import KnownPrice, PriceChange, Prices, Refreshed, RegionPrices

WIDTH = 80

LEGEND = (
    "price list: AWS Price List API, hosting, on demand. published: the same, from a secondary source. "
    "estimate (~): from EC2's price, or from SageMaker's price of another component. Nothing is taken over "
    "from another region. `--json` has the sources in full."
)


def prices_text(prices: Prices, *, every: bool) -> str:
    """The tables; unless `every` is asked for, regions of which nothing is known are named in one line."""
    lines = [
        f"AWS's price list was read on {prices.price_list}"
        if prices.price_list
        else "AWS's price list was not read yet: `quantllm prices refresh` reads it",
        "",
    ]
    shown = [one for one in prices.regions if every or any(found.price for found in one.types)]
    for region in shown:
        lines += [*_region(region), ""]
    unknown = [one.region for one in prices.regions if one not in shown]
    if unknown:
        lines += [*_wrapped(f"nothing is known of {', '.join(unknown)}", ""), ""]
    return "\n".join([*lines, *_wrapped(LEGEND, "")])


def _region(region: RegionPrices) -> Iterator[str]:
    yield region.region
    known = [(one.instance_type, one.price) for one in region.types if one.price]
    if known:
        yield _row("type", "$/h", "basis", "as of", "from")
    for instance_type, price in known:
        yield _row(instance_type, _usd(price), price.basis, price.as_of, _source(price))
    unknown = [one.instance_type for one in region.types if one.price is None]
    if unknown:
        yield from _wrapped(f"unknown: {', '.join(unknown)}", "  ")


def _row(instance_type: str, usd: str, basis: str, as_of: str, source: str) -> str:
    row = f"  {instance_type:19} {usd:>8} {basis:10} {as_of:14} {source}"
    return row if len(row) <= WIDTH else f"{row[: WIDTH - 3]}..."


def refreshed_text(refreshed: Refreshed) -> str:
    """The changes in a table, and in the last line what became of the file."""
    lines = []
    if refreshed.changes:
        lines.append(f"{'region':14} {'type':19} {'old':>10} {'new':>10} {'change':>9}")
        lines += [_change(change) for change in refreshed.changes]
    count = f"{refreshed.read} prices in {', '.join(refreshed.regions)}, {len(refreshed.changes)} changed"
    lines += _wrapped(f"{count}; {refreshed.file}: {_outcome(refreshed)}", "")
    return "\n".join(lines)


def _change(change: PriceChange) -> str:
    old = "unknown" if change.old is None else _usd(change.old)
    new = "gone" if change.new is None else f"{change.new:.4g}"
    percent = "" if change.percent is None else f"{change.percent:+.1f} %"
    return f"{change.region:14} {change.instance_type:19} {old:>10} {new:>10} {percent:>9}".rstrip()


def _outcome(refreshed: Refreshed) -> str:
    if refreshed.written:
        return "written; review it and commit it"
    return "up to date" if refreshed.up_to_date else "not up to date, left as it is"


def _source(price: KnownPrice) -> str:
    """What an estimate was made of, else the name of the source in the catalogue."""
    source, _, made = price.note.partition(": ")
    if price.basis != "estimate":
        return source
    return made.removeprefix("price of ").removesuffix(", not of hosting")


def _usd(price: KnownPrice) -> str:
    """Four digits and a mark for an estimate: `1.408`, `~1.03`."""
    mark = "~" if price.basis == "estimate" else ""
    return f"{mark}{price.usd_per_hour:.4g}"


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
