"""The cheapest instance type that can serve a workload."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from quant_llm.catalogue.fit import Fit, assess
from quant_llm.catalogue.prices import usd_per_hour
from quant_llm.catalogue.schema import InstanceType, load_catalogue
from quant_llm.catalogue.workload import Workload

_YARDSTICK = "us-east-1"
"""The region with the most known prices: its order stands in where a region's own prices are unknown."""


@dataclass(frozen=True)
class Choice:
    """The cheapest fit, the next two, and the types of the region that don't fit, cheapest first.

    `chosen` is None when nothing fits.
    """

    chosen: Fit | None
    runners_up: tuple[Fit, ...]
    refused: tuple[Fit, ...]


def by_likely_price(fit: Fit) -> tuple[float, int, int, str]:
    """The order in which a refusal names what works instead: by price, known or likely.

    Where the price is unknown in the region, the one of us-east-1 stands in. What is equal goes by GPUs, by
    virtual CPUs and by name: the same order every time.
    """
    instance = fit.instance
    price = fit.price or usd_per_hour(instance.instance_type, _YARDSTICK)
    usd = price.usd_per_hour if price else math.inf
    return usd, instance.gpu_count, instance.vcpu, instance.instance_type


def by_price(fit: Fit) -> tuple[bool, float, int, int, str]:
    """The order of a choice: types whose price is unknown in the region come last, so that none wins."""
    return (fit.price is None, *by_likely_price(fit))


Order = Callable[[Fit], tuple[float | str, ...]]


def choose(workload: Workload, region: str, *, quotas: Mapping[str, int] | None = None) -> Choice:
    """The choice among all that SageMaker hosts in a region; `quotas` is how many the account may have."""
    allowed = quotas or {}
    return choose_from(
        load_catalogue().hosted_in(region),
        lambda one: assess(workload, one, region, quota=allowed.get(one.instance_type)),
    )


def choose_from(
    instances: Iterable[InstanceType], judge: Callable[[InstanceType], Fit], order: Order = by_price
) -> Choice:
    """The choice among these types, by any judge of them and in any order."""
    found = sorted((judge(one) for one in instances), key=order)
    fitting = [one for one in found if one.fits]
    return Choice(
        chosen=fitting[0] if fitting else None,
        runners_up=tuple(fitting[1:3]),
        refused=tuple(one for one in found if not one.fits),
    )
