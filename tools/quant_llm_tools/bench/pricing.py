"""The price of what is measured: from the command line, or from the catalogue."""

from __future__ import annotations

import datetime

from quant_llm.catalogue.prices import usd_per_hour
from quant_llm_tools.bench.results import Price


def price_of(
    instance_type: str | None, region: str | None, instances: int | None, given: float | None
) -> Price | None:
    """What the instances cost an hour; None if nobody knows. `given` wins, in US dollars an hour of one."""
    count = instances or 1
    if given is not None:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return Price(usd_per_hour=given, instances=count, basis="given", as_of=today, note="--usd-per-hour")
    if instance_type is None or region is None:
        return None
    known = usd_per_hour(instance_type, region)
    if known is None:
        return None
    return Price(
        usd_per_hour=known.usd_per_hour,
        instances=count,
        basis=known.basis,
        as_of=known.as_of,
        note=f"{instance_type} in {region}: {known.note}",
    )
