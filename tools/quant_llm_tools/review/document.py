"""The review as one JSON document, and back: what tools read, and what a CI job hands to another.

`{"changes": [...], "cost": {agency: {"before": {...}, "after": {...}}}, "fit": {...}, "exit": n}`; null
stands for what is unknown or not there. A change has `gate` where the gate says something of it, the document
`drift` where live stacks are the base, and `notes` where something could not be compared.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.model import BeforeAfter, Change, ChangeClass, Drift, Fit, MonthlyCost, Review
from quant_llm_tools.review.verdict import Approval, Exit, Judged, Verdict

_Side = TypeVar("_Side")


def to_document(review: Review, verdict: Verdict) -> dict[str, Any]:
    """The document of a review."""
    document: dict[str, Any] = {
        "changes": [_change(one) for one in verdict.judged],
        "cost": {name: _both(sides) for name, sides in review.cost.items()},
        "fit": {name: _both(sides) for name, sides in review.fit.items()},
        "exit": int(verdict.exit),
    }
    if review.drift is not None:
        document["drift"] = [dataclasses.asdict(one) for one in review.drift]
    if review.notes:
        document["notes"] = list(review.notes)
    return document


def _change(judged: Judged) -> dict[str, Any]:
    change = judged.change
    document = {
        "class": str(change.change_class),
        "stacks": list(change.stacks),
        "resource": change.resource,
        "summary": change.summary,
        "why": change.why,
        "effect": change.effect,
        "before": change.before,
        "after": change.after,
    }
    if judged.blocks:
        document["gate"] = {"blocks": True}
    elif judged.approvals:
        document["gate"] = {"approvals": [_approval(one) for one in judged.approvals]}
    return document


def _approval(approval: Approval) -> dict[str, Any]:
    return {
        "class": str(approval.change_class),
        "paths": list(approval.paths),
        "reason": approval.reason,
        "expires": None if approval.expires is None else approval.expires.isoformat(),
        "place": approval.place,
        "new": approval.new,
    }


def _both(sides: BeforeAfter[Any]) -> dict[str, Any]:
    return {
        "before": None if sides.before is None else dataclasses.asdict(sides.before),
        "after": None if sides.after is None else dataclasses.asdict(sides.after),
    }


def from_document(document: Any) -> tuple[Review, Verdict]:
    """The review of a document that nobody vouches for; QuantLlmError, not quoting it, if it isn't one."""
    try:
        return _read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QuantLlmError(
            f"got a document that is no review ({type(error).__name__}), expected what "
            "`quantllm review --format json` prints"
        ) from None


def _read(document: Any) -> tuple[Review, Verdict]:
    judged = tuple(_read_change(one) for one in _list(document["changes"]))
    drift = document.get("drift")
    review = Review(
        changes=tuple(one.change for one in judged),
        cost=_read_sides(document["cost"], _read_cost),
        fit=_read_sides(document["fit"], _read_fit),
        drift=None if drift is None else tuple(_read_drift(one) for one in _list(drift)),
        notes=_texts(document.get("notes", [])),
    )
    return review, Verdict(judged, Exit(document["exit"]))


def _read_change(document: Any) -> Judged:
    change = Change(
        ChangeClass(document["class"]),
        _texts(document["stacks"]),
        resource=_text(document["resource"]),
        summary=_text(document["summary"]),
        why=_text(document["why"]),
        effect=_text(document["effect"]),
        before=document["before"],
        after=document["after"],
    )
    gate = document.get("gate", {})
    approvals = tuple(_read_approval(one) for one in _list(gate.get("approvals", [])))
    return Judged(change, gate.get("blocks") is True, approvals)


def _read_approval(document: Any) -> Approval:
    expires = document["expires"]
    return Approval(
        ChangeClass(document["class"]),
        _texts(document["paths"]),
        _text(document["reason"]),
        None if expires is None else datetime.date.fromisoformat(expires),
        _text(document["place"]),
        document["new"] is True,
    )


def _read_sides(document: Any, read: Callable[[Any], _Side]) -> Mapping[str, BeforeAfter[_Side]]:
    def side(value: Any) -> _Side | None:
        return None if value is None else read(value)

    return {
        _text(name): BeforeAfter(side(sides["before"]), side(sides["after"]))
        for name, sides in document.items()
    }


def _read_cost(document: Any) -> MonthlyCost:
    return MonthlyCost(
        at_min=_number(document["at_min"]),
        scheduled=_number(document["scheduled"]),
        at_max=_number(document["at_max"]),
        budget=_number(document["budget"]),
        estimated=document["estimated"] is True,
        unknown=_text(document["unknown"]),
    )


def _read_fit(document: Any) -> Fit:
    return Fit(
        _text(document["instance_type"]),
        _number(document["needed_mib"]),
        _number(document["available_mib"]),
        _text(document["unknown"]),
    )


def _read_drift(document: Any) -> Drift:
    differences = []
    for place, expected, actual in _list(document["differences"]):
        differences.append((_text(place), _text(expected), _text(actual)))
    return Drift(
        _text(document["stack"]), _text(document["resource"]), _text(document["status"]), tuple(differences)
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(one) for one in _list(value))


def _number(value: Any) -> float | None:
    """A number that can be shown: not infinite, and no truth value."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise TypeError(value)
    return value
