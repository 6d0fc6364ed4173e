"""The tables of cost and memory as cells of text, and what they come to in a sentence: for all renderings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quant_llm_tools.review.model import BeforeAfter, Fit, MonthlyCost, Review

COST_HEAD = ("agency", "at least", "by schedule", "at most", "budget")
FIT_HEAD = ("endpoint", "instance", "GiB needed of available", "headroom")
ABSENT, UNKNOWN = "none", "unknown"


@dataclass(frozen=True)
class Row:
    """One row: the name, the other cells, whether the sides differ, and what to warn of ("" if nothing)."""

    name: str
    cells: tuple[str, ...]
    changed: bool
    warning: str = ""


def cost_rows(costs: Mapping[str, BeforeAfter[MonthlyCost]]) -> list[Row]:
    """A row for each agency, in US dollars a month."""
    return [_cost_row(name, sides.before, sides.after) for name, sides in costs.items()]


def _cost_row(name: str, before: MonthlyCost | None, after: MonthlyCost | None) -> Row:
    cells = [
        _pair(_usd(before, field), _usd(after, field), _difference(before, after, field))
        for field in ("at_min", "scheduled", "at_max")
    ]
    budget = _pair(_budget(before), _budget(after))
    return Row(name, (*cells, budget), before != after, _over_budget(after))


def _usd(side: MonthlyCost | None, field: str) -> str:
    if side is None:
        return ABSENT
    value = getattr(side, field)
    return UNKNOWN if value is None else f"{'about ' if side.estimated else ''}{value:,.0f}"


def _difference(before: MonthlyCost | None, after: MonthlyCost | None, field: str) -> str:
    old = getattr(before, field) if before else 0.0
    new = getattr(after, field) if after else 0.0
    if old is None or new is None or round(new - old) == 0:
        return ""
    return f" ({new - old:+,.0f})"


def _budget(side: MonthlyCost | None) -> str:
    return ABSENT if side is None or side.budget is None else f"{side.budget:,.0f}"


def _over_budget(cost: MonthlyCost | None) -> str:
    if cost is None or cost.budget is None:
        return ""
    for field, words in (("at_min", "even at least"), ("scheduled", "by schedule"), ("at_max", "at most")):
        value = getattr(cost, field)
        if value is not None and value > cost.budget:
            return f"over budget {words}"
    return "" if cost.at_max is not None else "can't be held against the budget"


def fit_rows(fits: Mapping[str, BeforeAfter[Fit]]) -> list[Row]:
    """A row for each endpoint."""
    return [_fit_row(name, sides.before, sides.after) for name, sides in fits.items()]


def _fit_row(name: str, before: Fit | None, after: Fit | None) -> Row:
    cells = (
        _pair(before.instance_type if before else ABSENT, after.instance_type if after else ABSENT),
        _pair(_memory(before), _memory(after)),
        _pair(_headroom(before), _headroom(after)),
    )
    left = None if after is None else _left(after)
    return Row(name, cells, before != after, "does not fit" if left is not None and left < 0 else "")


def _memory(fit: Fit | None) -> str:
    if fit is None:
        return ABSENT
    if fit.needed_mib is None and fit.available_mib is None:
        return UNKNOWN
    return f"{_gib(fit.needed_mib)} of {_gib(fit.available_mib)}"


def _gib(mib: float | None) -> str:
    return UNKNOWN if mib is None else f"{mib / 1024:,.1f}"


def _left(fit: Fit) -> float | None:
    """The share of the available memory that is left, below 0 when it is too little."""
    if fit.needed_mib is None or not fit.available_mib:
        return None
    return 1 - fit.needed_mib / fit.available_mib


def _headroom(fit: Fit | None) -> str:
    if fit is None:
        return ABSENT
    left = _left(fit)
    return UNKNOWN if left is None else f"{left:,.0%}"


def _pair(before: str, after: str, difference: str = "") -> str:
    return after if before == after else f"{before} → {after}{difference}"


def cost_sentence(costs: Mapping[str, BeforeAfter[MonthlyCost]]) -> str:
    """What all agencies together cost by schedule, before and after; "" where nothing changes."""
    changed = [sides for sides in costs.values() if sides.before != sides.after]
    if not changed:
        return ""
    before, after = _total(one.before for one in changed), _total(one.after for one in changed)
    if before is None or after is None:
        return "The cost changes, by how much is unknown: see the table."
    if round(after - before) == 0:
        return "The cost by schedule stays as it is."
    difference = f"{abs(after - before):,.0f} {'more' if after > before else 'less'}"
    others = _total(one.after for one in costs.values() if one.before == one.after)
    if others is None:
        return f"By schedule it costs {difference}, in US dollars a month; all of it costs an unknown sum."
    return (
        f"By schedule it costs {after + others:,.0f} US dollars a month in place of {before + others:,.0f}, "
        f"{difference}."
    )


def _total(costs: Iterable[MonthlyCost | None]) -> float | None:
    values = [cost.scheduled for cost in costs if cost is not None]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def unknowns(review: Review) -> list[tuple[str, str]]:
    """What is not known and why: agency or endpoint, and the reason, each once."""
    sides = [
        (name, side)
        for table in (review.cost, review.fit)
        for name, both in table.items()
        for side in (both.before, both.after)
    ]
    return list(dict.fromkeys((name, side.unknown) for name, side in sides if side and side.unknown))
