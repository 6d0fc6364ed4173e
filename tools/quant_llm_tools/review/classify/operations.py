"""`operations-changed`: tags, alarms, budget, and whatever no other class has told of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.flat import differences, leaves
from quant_llm_tools.review.classify.follow import MACHINERY, follows_from_told
from quant_llm_tools.review.classify.words import count, listed
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.templates import Impact

_TAGS: Final = ("Tags", "TagsMap", "ResourceTags")
_SECTIONS: Final = ("Conditions", "Mappings", "Transform", "Hooks")
_WHY: Final = "It changes how the stack is run or watched, not who may use it or what it serves."
_IN_PLACE: Final = "Changed in place; the endpoints go on serving."
_RESOURCE_WORDS: Final = {
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::CloudWatch::Dashboard": "dashboard",
    "AWS::Budgets::Budget": "budget",
    "AWS::SNS::Topic": "topic",
    "AWS::SNS::Subscription": "subscription",
    "AWS::Lambda::Function": "function",
    "AWS::Logs::LogGroup": "log group",
    "AWS::CodeBuild::Project": "build project",
    "AWS::StepFunctions::StateMachine": "state machine",
    "AWS::Events::Rule": "event rule",
    "AWS::IAM::Role": "role",
    "AWS::IAM::Policy": "policy",
}


def tags(comparison: Comparison) -> Iterator[Change]:
    """One change for each tag, however many resources carry it."""
    found: dict[tuple[str, str | None, str | None], list[str]] = {}
    for logical_id in comparison.kept():
        for name in _TAGS:
            if name not in comparison.differing(logical_id):
                continue
            before = _tags(comparison.before.properties(logical_id).get(name))
            after = _tags(comparison.after.properties(logical_id).get(name))
            comparison.explain(logical_id, name)
            for key in {**before, **after}:
                if before.get(key) != after.get(key):
                    found.setdefault((key, before.get(key), after.get(key)), []).append(logical_id)
    for (key, old, new), logical_ids in found.items():
        what = "is new" if old is None else "goes" if new is None else "changes"
        on_all = len(logical_ids) > 1
        yield comparison.change(
            ChangeClass.OPERATIONS_CHANGED,
            "Tags" if on_all else comparison.path(logical_ids[0]),
            f"the tag {key} {what}",
            why="Tags decide who is billed and what policies and budgets count.",
            effect=_IN_PLACE,
            before=old,
            after=new,
        )


def unexplained(comparison: Comparison) -> Iterator[Change]:
    """Every other difference in the text of the templates: nothing is passed over."""
    yield from _whole_resources(comparison, comparison.added(), "adds")
    yield from _whole_resources(comparison, comparison.removed(), "removes")
    for logical_id in comparison.kept():
        names = [
            name
            for name in comparison.differing(logical_id)
            if not comparison.is_explained(logical_id, name)
            and not follows_from_told(comparison, logical_id, name)
        ]
        if names:
            yield _updated(comparison, logical_id, names)
        yield from _attributes(comparison, logical_id)
    yield from _outputs(comparison)
    for section in _SECTIONS:
        if comparison.before.template.get(section) != comparison.after.template.get(section):
            yield comparison.change(
                ChangeClass.OPERATIONS_CHANGED,
                section,
                f"the template's {section} change",
                why=_WHY,
                effect=_IN_PLACE,
                before=comparison.before.template.get(section),
                after=comparison.after.template.get(section),
            )


def _tags(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): str(text) for key, text in value.items()}
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in value or ()}


def _whole_resources(comparison: Comparison, logical_ids: list[str], verb: str) -> Iterator[Change]:
    side = comparison.after if verb == "adds" else comparison.before
    scopes: dict[str, list[str]] = {}
    for one in logical_ids:
        if not comparison.is_explained(one) and side.resources[one]["Type"] not in MACHINERY:
            scopes.setdefault(side.paths[one].partition("/")[0], []).append(one)
    for scope, ours in scopes.items():
        paths = sorted(side.paths[one] for one in ours)
        kinds = Counter(_words(str(side.resources[one]["Type"])) for one in ours)
        what = listed(count(number, kind) for kind, number in sorted(kinds.items()))
        yield comparison.change(
            ChangeClass.OPERATIONS_CHANGED,
            paths[0] if len(paths) == 1 else scope,
            f"{verb} {what}",
            why=_WHY,
            effect="Made at deploy." if verb == "adds" else "Deleted at deploy.",
            before=paths if verb == "removes" else None,
            after=paths if verb == "adds" else None,
        )


def _updated(comparison: Comparison, logical_id: str, names: list[str]) -> Change:
    old, new = differences(
        _leaves(comparison.before, logical_id, names), _leaves(comparison.after, logical_id, names)
    )
    is_replaced = comparison.impact(logical_id) is Impact.WILL_REPLACE
    what = _words(str(comparison.after.resources[logical_id]["Type"]))
    return comparison.change(
        ChangeClass.OPERATIONS_CHANGED,
        comparison.path(logical_id),
        f"{'another' if is_replaced else 'the'} {what}: {listed(names)}",
        why=_WHY,
        effect="Replaced: a new one is made, then the old one deleted." if is_replaced else _IN_PLACE,
        before=old or None,
        after=new or None,
    )


def _attributes(comparison: Comparison, logical_id: str) -> Iterator[Change]:
    """What a resource has beside its properties, such as its deletion policy."""
    before, after = comparison.before.resources[logical_id], comparison.after.resources[logical_id]
    for name in {**before, **after}:
        if name in ("Properties", "Metadata", "DependsOn") or before.get(name) == after.get(name):
            continue
        if not comparison.is_explained(logical_id, name):
            yield comparison.change(
                ChangeClass.OPERATIONS_CHANGED,
                comparison.path(logical_id),
                f"the {_words(str(after['Type']))}: {name}",
                why=_WHY,
                effect=_IN_PLACE,
                before=before.get(name),
                after=after.get(name),
            )


def _leaves(side: StackSide, logical_id: str, names: list[str]) -> dict[str, Any]:
    properties = side.properties(logical_id)
    return leaves({name: properties[name] for name in names if name in properties}, side)


def _outputs(comparison: Comparison) -> Iterator[Change]:
    before = _output_values(comparison, comparison.before)
    after = _output_values(comparison, comparison.after)
    old, new = differences(before, after)
    if old or new:
        yield comparison.change(
            ChangeClass.OPERATIONS_CHANGED,
            "Outputs",
            f"the stack's outputs: {listed(sorted({*old, *new}))}",
            why="Scripts read them.",
            effect=_IN_PLACE,
            before=old or None,
            after=new or None,
        )


def _output_values(comparison: Comparison, side: StackSide) -> dict[str, Any]:
    """Outputs by name, without those of models that come, go or get other weights."""
    kept = {
        name: output.get("Value")
        for name, output in side.template.get("Outputs", {}).items()
        if not comparison.is_explained(f"output {name}")
    }
    return leaves(kept, side)


def _words(resource_type: str) -> str:
    known = _RESOURCE_WORDS.get(resource_type)
    if known:
        return known
    name = resource_type.rpartition("::")[2]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
