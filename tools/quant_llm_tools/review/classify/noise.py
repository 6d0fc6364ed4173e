"""`no-effect`: text that differs and changes nothing in AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quant_llm_tools.review.classify.comparison import Comparison
from quant_llm_tools.review.model import Change, ChangeClass

_WITHOUT_EFFECT = {"Metadata": "metadata", "DependsOn": "the order of the deploy"}


def without_effect(comparison: Comparison) -> Iterator[Change]:
    """Resources that differ in nothing but what CloudFormation keeps to itself."""
    for logical_id in comparison.kept():
        before, after = comparison.before.resources[logical_id], comparison.after.resources[logical_id]
        names = {**before, **after}.keys()
        differing = {name for name in names if before.get(name) != after.get(name)}
        if differing == {"DependsOn"} and _follows(comparison, before, after):
            continue
        if differing and differing <= _WITHOUT_EFFECT.keys() and not comparison.is_explained(logical_id):
            yield no_effect(
                comparison,
                logical_id,
                " and ".join(_WITHOUT_EFFECT[name] for name in sorted(differing)),
            )


def _follows(comparison: Comparison, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the order differs only by what comes or goes."""
    others = _names(before) ^ _names(after)
    return others <= {*comparison.added(), *comparison.removed()}


def _names(resource: Mapping[str, Any]) -> set[str]:
    names = resource.get("DependsOn", [])
    return {names} if isinstance(names, str) else set(names)


def no_effect(comparison: Comparison, logical_id: str, what: str) -> Change:
    """The change that says so, of one resource."""
    return comparison.change(
        ChangeClass.NO_EFFECT,
        comparison.path(logical_id),
        f"{what} only",
        why="It differs in the template and nowhere else.",
        effect="Nothing.",
    )
