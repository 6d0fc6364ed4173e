"""What `quantllm prices --json` and `quantllm prices refresh --json` print. Prices are US dollars an hour."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from quant_llm.catalogue import Price, load_catalogue, load_price_list, usd_per_hour
from quant_llm_tools.prices.refresh import Change

Basis = Literal["price list", "published", "estimate"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownPrice(_Frozen):
    """A price, what it is based on, since when, and where it comes from."""

    usd_per_hour: float
    basis: Basis
    as_of: str
    note: str

    @classmethod
    def of(cls, price: Price) -> KnownPrice:
        """The price as it is shown."""
        return cls(usd_per_hour=price.usd_per_hour, basis=price.basis, as_of=price.as_of, note=price.note)


class TypePrice(_Frozen):
    """One instance type; null where nothing is known."""

    instance_type: str
    price: KnownPrice | None


class RegionPrices(_Frozen):
    """Every type of the catalogue that SageMaker hosts in a region, in the catalogue's order."""

    region: str
    types: tuple[TypePrice, ...]


class Prices(_Frozen):
    """All that is known. `price_list` is the date of the last `quantllm prices refresh`; null before one."""

    schema_version: Literal[1] = 1
    price_list: str | None
    regions: tuple[RegionPrices, ...]


class PriceChange(_Frozen):
    """Another price than before; null for unknown before, or no longer hosted. `percent` is the rise."""

    region: str
    instance_type: str
    old: KnownPrice | None
    new: float | None
    percent: float | None

    @classmethod
    def of(cls, change: Change) -> PriceChange:
        """The change as it is shown."""
        return cls(
            region=change.region,
            instance_type=change.instance_type,
            old=change.old and KnownPrice.of(change.old),
            new=change.new,
            percent=change.percent,
        )


class Refreshed(_Frozen):
    """What was read. `up_to_date`: the file has the same prices. `source` is an address, null for AWS."""

    schema_version: Literal[1] = 1
    file: str
    source: str | None
    as_of: str
    regions: tuple[str, ...]
    read: int
    up_to_date: bool
    written: bool
    changes: tuple[PriceChange, ...]


def hosting_regions() -> tuple[str, ...]:
    """The regions in which SageMaker hosts a type of the catalogue, by name."""
    return tuple(sorted({region for one in load_catalogue().instances for region in one.hosting_regions}))


def known_prices(regions: tuple[str, ...]) -> Prices:
    """What the product knows of these regions."""
    listed = load_price_list()
    return Prices(
        price_list=listed.as_of if listed else None,
        regions=tuple(RegionPrices(region=region, types=_types(region)) for region in regions),
    )


def _types(region: str) -> tuple[TypePrice, ...]:
    found = []
    for one in load_catalogue().hosted_in(region):
        price = usd_per_hour(one.instance_type, region)
        found.append(TypePrice(instance_type=one.instance_type, price=price and KnownPrice.of(price)))
    return tuple(found)
