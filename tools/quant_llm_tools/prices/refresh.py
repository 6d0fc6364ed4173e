"""What a fresh price list says, and what it changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quant_llm.catalogue import Price, PriceList, load_catalogue, usd_per_hour
from quant_llm.errors import QuantLlmError
from quant_llm_tools.prices.aws import PriceSource, hosting_prices

YARDSTICK = "us-east-1"
"""Always read: its prices decide the order where a region's own are unknown."""


@dataclass(frozen=True)
class Change:
    """A price that is another than what the product knew; None stands for unknown, or no longer hosted."""

    region: str
    instance_type: str
    old: Price | None
    new: float | None

    @property
    def percent(self) -> float | None:
        """By how much it rose, to a tenth; None without two prices."""
        if self.old is None or self.new is None:
            return None
        return round((self.new / self.old.usd_per_hour - 1) * 100, 1)


def read_prices(source: PriceSource, regions: Iterable[str], today: str) -> PriceList:
    """The price of every type of the catalogue that SageMaker hosts in the regions.

    QuantLlmError names every type with no price, or several: then the catalogue or the query is wrong, and
    nothing is to be written.
    """
    prices: dict[str, dict[str, float]] = {}
    problems: list[str] = []
    for region in sorted(set(regions)):
        wanted = [one.instance_type for one in load_catalogue().hosted_in(region)]
        if not wanted:
            raise QuantLlmError(f"{region}: the catalogue knows no GPU type that SageMaker hosts there")
        prices[region], wrong = hosting_prices(source.products(region), wanted)
        problems += [f"{region}: {problem}" for problem in wrong]
    if problems:
        raise QuantLlmError("\n".join(problems))
    return PriceList(as_of=today, prices=prices)


def changes(before: PriceList | None, after: PriceList) -> list[Change]:
    """Where the product would take another price, by region and type; an estimate that came true is none."""
    found = []
    for region, prices in after.prices.items():
        listed = before.prices.get(region, {}) if before else {}
        for instance_type in {**prices, **listed}:
            old, new = usd_per_hour(instance_type, region, price_list=before), prices.get(instance_type)
            if new is None or old is None or old.usd_per_hour != new:
                found.append(Change(region, instance_type, old, new))
    return sorted(found, key=lambda change: (change.region, change.instance_type))


def same_prices(before: PriceList | None, after: PriceList) -> bool:
    """Whether only the date is another: then the file stays as it is, and nobody has to review it."""
    return before is not None and before.prices == after.prices


def write(path: Path, price_list: PriceList) -> None:
    """Replace the file as a whole; QuantLlmError when it can't be written."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(price_list.to_json(), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise QuantLlmError(f"{path}: can't be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
