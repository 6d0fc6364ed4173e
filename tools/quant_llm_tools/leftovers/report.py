"""How leftovers are shown: what, cost and commands for people, a document for programs.

The document: {"agencies": [{"agency", "stack", "account", "region", "leftovers": [{"type", "name", "arn",
"holds", "bills", "usd_per_month", "commands"}]}], "usd_per_month"}: the last is the sum of what is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from quant_llm.agency import AgencyConfig
from quant_llm_tools.leftovers.describe import Leftover

Found = Sequence[tuple[AgencyConfig, Sequence[Leftover]]]


def document(found: Found) -> dict[str, Any]:
    """The leftovers for `--json`."""
    return {
        "agencies": [
            {
                "agency": agency.agency,
                "stack": agency.stack_name,
                "account": agency.environment.account,
                "region": agency.environment.region,
                "leftovers": [dataclasses.asdict(one) for one in leftovers],
            }
            for agency, leftovers in found
        ],
        "usd_per_month": _known_cost(found),
    }


def text(found: Found) -> str:
    """The leftovers of each agency, and the commands that remove them, in an order in which they can run."""
    lines: list[str] = []
    for agency, leftovers in found:
        where = f"account {agency.environment.account} in {agency.environment.region}"
        if not leftovers:
            lines.append(f"{agency.agency}: nothing is left of {agency.stack_name} in {where}")
            continue
        lines.append(f"{agency.agency}: left of {agency.stack_name} in {where}")
        for one in leftovers:
            cost = "" if one.usd_per_month is None else f"{one.usd_per_month:.2f} USD a month: "
            lines.append(f"  {one.type} {one.name}" + (f" ({one.holds})" if one.holds else ""))
            lines.append(f"    {cost}{one.bills}")
    commands = [command for _, leftovers in found for one in leftovers for command in one.commands]
    if commands:
        lines += ["", "To remove it for good, in this order:", "", *commands]
    if without := [one.arn for _, leftovers in found for one in leftovers if not one.commands]:
        lines += ["", "To be removed in the console:", "", *without]
    return "\n".join(lines)


def _known_cost(found: Found) -> float:
    return sum(one.usd_per_month or 0.0 for _, leftovers in found for one in leftovers)
