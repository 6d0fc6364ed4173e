"""What an instance type costs an hour, how that is known, and since when.

The bundled prices are secondary sources' of us-east-1, and EC2's. AWS's own price list, once it has been
read, wins over them. What none of them gives is unknown, and never taken from another region.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from quant_llm.catalogue.schema import InstanceType, Positive, load_catalogue
from quant_llm.json_file import read_json_file

PRICE_LIST = Path(__file__).with_name("price_list.json")
"""Where `quantllm prices refresh` puts what it read. Not there until then."""

HOURS_A_MONTH = 730
"""AWS's own month (pricing calculator): 365 x 24 / 12 hours."""

Basis = Literal["price list", "published", "estimate"]

EC2_FACTORS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("g4dn", "g5", "g6", "g6e"), (1.40, 1.25)),
    "g7e": (1.25, 1.25),
    **dict.fromkeys(("p4d", "p5"), (1.15, 1.15)),
}
"""SageMaker's price over EC2's, for the `.xlarge` and for the other sizes of a family, in the pairs that
could be compared (`instances.yaml`, ec2_on_demand). Families that are not here were in no pair."""


@dataclass(frozen=True)
class Price:
    """US dollars an hour of one instance. `note` says where the number comes from.

    `basis`: read from AWS's `price list`; `published` by a secondary source; or an `estimate`, from EC2's
    price of the region or from SageMaker's price of another component than hosting.
    """

    instance_type: str
    region: str
    usd_per_hour: float
    basis: Basis
    as_of: str
    note: str

    def __str__(self) -> str:
        """`$1.408/h`, or `about $1.03/h (estimate)`."""
        if self.basis == "estimate":
            return f"about ${self.usd_per_hour:,.2f}/h (estimate)"
        return f"${self.usd_per_hour:,.4g}/h" if self.usd_per_hour < 1000 else f"${self.usd_per_hour:,.0f}/h"

    def monthly(self, instances: float) -> float:
        """US dollars a month for so many instances, all of the time."""
        return self.usd_per_hour * HOURS_A_MONTH * instances


class PriceList(BaseModel):
    """Hosting prices from AWS's Price List API: by region, by instance type, and the date they were read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    prices: dict[str, dict[str, Positive]]

    @classmethod
    def read(cls, path: Path) -> PriceList:
        """Read a file that `to_json` wrote; QuantLlmError when it can't be read or isn't of its form."""
        return read_json_file(cls, path, remedy="`quantllm prices refresh` writes the file: run it again")

    def to_json(self) -> str:
        """Sorted and indented, so that a change of prices reads well in a pull request."""
        return json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n"


@functools.cache
def load_price_list() -> PriceList | None:
    """The price list that was read last, once a process; None when none was."""
    return PriceList.read(PRICE_LIST) if PRICE_LIST.exists() else None


def usd_per_hour(instance_type: str, region: str, *, price_list: PriceList | None = None) -> Price | None:
    """The best known price of a type in a region, None when nothing is known.

    In this order: `price_list` (by default the one that was read last), a published price of hosting, EC2's
    price times the factor of the family, SageMaker's price of another component.
    """
    listed = price_list or load_price_list()
    usd = listed.prices.get(region, {}).get(instance_type) if listed else None
    if listed and usd is not None:
        return Price(instance_type, region, usd, "price list", listed.as_of, "AWS Price List API, hosting")
    instance = load_catalogue().find(instance_type)
    if instance is None:
        return None
    return _published(instance, region) or _from_ec2(instance, region) or _observed(instance, region)


def _published(instance: InstanceType, region: str) -> Price | None:
    for one in instance.hosting_on_demand:
        if one.region == region:
            note = f"{one.source}: {one.note}"
            return Price(instance.instance_type, region, one.usd_per_hour, "published", one.as_of, note)
    return None


def _from_ec2(instance: InstanceType, region: str) -> Price | None:
    factors = EC2_FACTORS.get(instance.family)
    for one in instance.ec2_on_demand:
        if one.region == region and factors:
            factor = factors[0] if instance.instance_type.endswith(".xlarge") else factors[1]
            as_of = load_catalogue().sources[one.source].as_of
            note = f"{one.source}: EC2's ${one.usd_per_hour:g}/h x {factor:.2f}"
            usd = round(one.usd_per_hour * factor, 4)
            return Price(instance.instance_type, region, usd, "estimate", as_of, note)
    return None


def _observed(instance: InstanceType, region: str) -> Price | None:
    for one in instance.observed:
        if one.region == region:
            note = f"{one.source}: price of {one.component}, not of hosting"
            return Price(instance.instance_type, region, one.usd_per_hour, "estimate", one.as_of, note)
    return None
