"""What each agency's instances cost a month on either side, at list prices."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from quant_llm.agency import AUTO, ScalingConfig
from quant_llm.catalogue import most_instances, usd_per_hour
from quant_llm_tools.review.agencies import AgencySide
from quant_llm_tools.review.fit import instance_type
from quant_llm_tools.review.model import BeforeAfter, MonthlyCost
from quant_llm_tools.review.recurrence import firings


def costs(
    before: Mapping[str, AgencySide], after: Mapping[str, AgencySide], *, year: int
) -> dict[str, BeforeAfter[MonthlyCost]]:
    """The costs of all agencies of both sides, by agency; schedules are read in the calendar of `year`."""
    return {
        name: BeforeAfter(
            monthly_cost(before[name], year) if name in before else None,
            monthly_cost(after[name], year) if name in after else None,
        )
        for name in sorted({*before, *after})
    }


def monthly_cost(side: AgencySide, year: int) -> MonthlyCost:
    """US dollars a month of an agency's instances, each at its price on demand."""
    agency = side.config
    if agency is None:
        return MonthlyCost(None, None, None, unknown=side.unreadable)
    region = agency.environment.region
    budget = agency.budget.monthly_usd if agency.budget else None
    sums = [0.0, 0.0, 0.0]
    unknown: dict[str, None] = {}
    estimated = False
    for model in map(agency.deployed, agency.models):
        name = instance_type(agency, model, side.locks.get(model.name))
        price = usd_per_hour(name, region)
        if price is None:
            unknown[_why(model.name, name, region)] = None
            continue
        estimated |= price.basis == "estimate"
        counts = (model.scaling.least, mean_least(model.scaling, year), most_instances(model))
        sums = [total + price.monthly(count) for total, count in zip(sums, counts, strict=True)]
    if unknown:
        return MonthlyCost(None, None, None, budget, unknown="; ".join(unknown))
    at_min, scheduled, at_max = (round(total, 2) for total in sums)
    return MonthlyCost(at_min, scheduled, at_max, budget, estimated)


def _why(model: str, name: str, region: str) -> str:
    if name == AUTO:
        return f"{model}: no instance type is chosen, for want of a current lock or of one that fits"
    return f"the price of {name} in {region} is not known"


def mean_least(scaling: ScalingConfig, year: int) -> float:
    """The least number of instances, as the schedule changes it, weighted by time over a year.

    An entry holds from its moment on until another fires; of two at one moment the later in the file wins.
    Before the first one ever `min` holds.
    """
    if not scaling.schedule:
        return scaling.min
    start, end = _timestamp(year), _timestamp(year + 1)
    earlier = _changes(scaling, year - 1)
    least = earlier[-1][2] if earlier else scaling.min
    total, since = 0.0, start
    for moment, _, following in _changes(scaling, year):
        # Time zones push moments of the year's first and last hours over its ends.
        moment = min(max(moment, start), end)
        total += least * (moment - since)
        since, least = moment, following
    return (total + least * (end - since)) / (end - start)


def _changes(scaling: ScalingConfig, year: int) -> list[tuple[float, int, int]]:
    """Moment, position in the file and the least number of instances from then on."""
    return sorted(
        (moment, index, entry.min)
        for index, entry in enumerate(scaling.schedule)
        for moment in firings(entry.cron, entry.timezone, year)
    )


def _timestamp(year: int) -> float:
    return datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp()
