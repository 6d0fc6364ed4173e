"""`scaling-changed`: how many instances there may be, when, and what they are added for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import (
    ENDPOINT_CONFIG,
    INFERENCE_COMPONENT,
    Comparison,
    StackSide,
)
from quant_llm_tools.review.classify.flat import leaves
from quant_llm_tools.review.classify.words import listed
from quant_llm_tools.review.model import Change, ChangeClass

_TARGET: Final = "AWS::ApplicationAutoScaling::ScalableTarget"
_POLICY: Final = "AWS::ApplicationAutoScaling::ScalingPolicy"
_ALARM: Final = "AWS::CloudWatch::Alarm"
_OF_ALARM: Final = ("AlarmActions", "AlarmDescription", "AlarmName", "Tags")
_NAMES: Final = (
    "AlarmActions",
    "PolicyName",
    "ResourceId",
    "RoleARN",
    "ScalableDimension",
    "ScalingTargetId",
    "ServiceNamespace",
    "Tags",
)
"""What ties the parts to each other and to the endpoint: no scaling of its own."""


def scaling(comparison: Comparison) -> Iterator[Change]:
    """One change for each model whose bounds, schedule or targets are others."""
    for model in comparison.after.endpoints.keys() & comparison.before.endpoints.keys():
        ours = [
            one
            for one in (*comparison.kept(), *comparison.added(), *comparison.removed())
            if comparison.model_of(one) == model
        ]
        before, after = _scaling(comparison.before, ours), _scaling(comparison.after, ours)
        for one in ours:
            _explain(comparison, one)
        if before == after:
            continue
        targets = [
            one for one in ours if comparison.path(one).count("/") <= 3 and _is_target(comparison, one)
        ]
        changed = {key for key in {**before, **after} if before.get(key) != after.get(key)}
        yield comparison.change(
            ChangeClass.SCALING_CHANGED,
            comparison.path(min(targets)) if targets else f"{model}/Endpoint/Scaling/Resource",
            _summary(before, after, changed),
            why=_why(before, after),
            effect="Takes effect at once, on the running instances; the schedule at its next moment.",
            before={key: value for key, value in before.items() if key in changed},
            after={key: value for key, value in after.items() if key in changed},
        )


def _explain(comparison: Comparison, logical_id: str) -> None:
    resource = comparison.after.resources.get(logical_id) or comparison.before.resources[logical_id]
    sides = (comparison.before, comparison.after)
    is_scaling = resource["Type"] in (_TARGET, _POLICY)
    if not is_scaling and not any(_sets_off_scaling(side, logical_id) for side in sides):
        return
    if all(logical_id in side.resources for side in sides):
        names = [name for side in sides for name in side.properties(logical_id)]
        told = [name for name in names if name not in _NAMES]
        if told:
            comparison.explain(logical_id, *told)
    else:
        comparison.explain(logical_id)


def _is_target(comparison: Comparison, logical_id: str) -> bool:
    resource = comparison.after.resources.get(logical_id) or comparison.before.resources[logical_id]
    return bool(resource["Type"] == _TARGET)


def _scaling(side: StackSide, logical_ids: list[str]) -> dict[str, Any]:
    """Bounds, schedule, policies and what SageMaker itself scales, of one model."""
    found: dict[str, Any] = {}
    for one in logical_ids:
        resource, properties = side.resources.get(one), side.properties(one)
        if resource is None:
            continue
        if resource["Type"] == _TARGET:
            found["min"], found["max"] = properties.get("MinCapacity"), properties.get("MaxCapacity")
            schedule = [_entry(entry) for entry in properties.get("ScheduledActions", [])]
            if schedule:
                found["schedule"] = schedule
        elif resource["Type"] == _POLICY:
            kept = {key: value for key, value in properties.items() if key not in _NAMES}
            found[_short(side.paths[one])] = leaves(kept, side)
        elif _sets_off_scaling(side, one):
            kept = {key: value for key, value in properties.items() if key not in _OF_ALARM}
            found[_short(side.paths[one])] = leaves(kept, side)
        elif resource["Type"] == ENDPOINT_CONFIG:
            for variant in properties.get("ProductionVariants", []):
                if "ManagedInstanceScaling" in variant:
                    found["instances"] = variant["ManagedInstanceScaling"]
        elif resource["Type"] == INFERENCE_COMPONENT and "RuntimeConfig" in properties:
            found["copies"] = properties["RuntimeConfig"]
    return found


def _sets_off_scaling(side: StackSide, logical_id: str) -> bool:
    """Whether it is an alarm that a scaling policy acts on, and nobody is told of."""
    if side.resources.get(logical_id, {}).get("Type") != _ALARM:
        return False
    actions = [action.get("Ref") for action in side.properties(logical_id).get("AlarmActions", ()) if action]
    return any(side.resources.get(str(one), {}).get("Type") == _POLICY for one in actions)


def _short(path: str) -> str:
    """A policy's name among those of its endpoint."""
    return path.removesuffix("/Resource").rpartition("/")[2]


def _entry(action: Mapping[str, Any]) -> str:
    bounds = action.get("ScalableTargetAction", {})
    return (
        f"{bounds.get('MinCapacity', 'as it is')} to {bounds.get('MaxCapacity', 'as it is')} from "
        f"{action.get('Schedule', '?')} {action.get('Timezone', 'UTC')}"
    )


def _summary(before: Mapping[str, Any], after: Mapping[str, Any], changed: set[str]) -> str:
    parts = []
    if changed & {"min", "max"}:
        parts.append(f"{_bounds(before)} become {_bounds(after)}")
    if "schedule" in changed:
        old, new = before.get("schedule"), after.get("schedule")
        parts.append(
            "the schedule changes" if old and new else "a new schedule" if new else "no schedule any more"
        )
    rest = sorted(changed - {"min", "max", "schedule"})
    if rest:
        parts.append(f"{listed(rest)} {'changes' if len(rest) == 1 else 'change'}")
    if _least(after) == 0 and _least(before) != 0:
        parts.append("down to no instance when nobody calls")
    return "; ".join(parts)


def _bounds(values: Mapping[str, Any]) -> str:
    if "min" not in values:
        return "instances without scaling"
    return f"{values['min']} to {values['max']} instances"


def _least(values: Mapping[str, Any]) -> Any:
    managed = values.get("instances", {})
    return managed.get("MinInstanceCount", values.get("min")) if managed else values.get("min")


def _why(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if _least(after) == 0 and _least(before) != 0:
        return "At zero it costs nothing, and the first call after a pause waits for an instance to start."
    return "The bounds decide the cost at least and at most, and how much load is answered."
