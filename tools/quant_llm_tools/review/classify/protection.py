"""`protection-weakened`: public exposure, encryption, isolation, what is kept when a stack goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from quant_llm.catalogue import load_catalogue
from quant_llm_tools.review.classify.comparison import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    INFERENCE_COMPONENT,
    Comparison,
    StackSide,
)
from quant_llm_tools.review.classify.openings import openings
from quant_llm_tools.review.classify.protection_rules import (
    EXPOSED,
    LOST,
    READABLE,
    RULES,
    Rule,
    becomes_another,
    differs,
)
from quant_llm_tools.review.classify.stateful import STATEFUL
from quant_llm_tools.review.classify.words import listed, text_of
from quant_llm_tools.review.model import Change, ChangeClass

_IN_FORCE: Final = "In force from the deploy on."
_OPTIONAL: Final = ("AsyncInferenceConfig", "DataCaptureConfig", "VpcConfig")
_ROLLBACK: Final = ("DeploymentConfig", "AutoRollbackConfiguration")


def protection(comparison: Comparison) -> Iterator[Change]:
    """Each rule that a resource of both sides breaks, and new openings to the world."""
    for logical_id in comparison.kept():
        kind = comparison.after.resources[logical_id]["Type"]
        before, after = comparison.before.properties(logical_id), comparison.after.properties(logical_id)
        for rule in RULES:
            if rule.resource_type != kind:
                continue
            old, new = _at(before, rule.path), _at(after, rule.path)
            # What is not there at all has nothing to protect; the VPC has a rule of its own.
            is_told = rule.path[0] in _OPTIONAL and len(rule.path) > 1 and rule.path[0] not in after
            if rule.is_weaker(old, new) and not is_told and not _is_of_its_models(rule, after):
                comparison.explain(logical_id, rule.path[0])
                yield _weakened(comparison, logical_id, rule.summary, rule.why, old, new)
        yield from _kept_no_longer(comparison, logical_id)
    yield from _weak_from_the_start(comparison)
    yield from _volumes(comparison)
    yield from _way_back(comparison)
    for logical_id, summary, rule in openings(comparison):
        yield _weakened(comparison, logical_id, summary, EXPOSED, None, rule)


def _is_of_its_models(rule: Rule, after: Mapping[str, Any]) -> bool:
    """Whether a configuration leaves network and isolation to the models that its variants name."""
    if rule.resource_type != ENDPOINT_CONFIG or rule.path[0] not in ("EnableNetworkIsolation", "VpcConfig"):
        return False
    return all("ModelName" in variant for variant in after.get("ProductionVariants", ()))


def _weak_from_the_start(comparison: Comparison) -> Iterator[Change]:
    """What is new without a protection that all others of its type had, as by another id in its place."""
    for logical_id in comparison.added():
        for rule, new in _unlike(comparison.after, logical_id, [comparison.before]):
            yield _weakened(comparison, logical_id, _new(rule), rule.why, None, new)


def unlike_the_others(stack: str, side: StackSide, others: Collection[StackSide]) -> Iterator[Change]:
    """Of a stack that is new as a whole, what lacks a protection that all other stacks' like it have."""
    for logical_id in side.resources:
        for rule, new in _unlike(side, logical_id, others):
            if rule.path[0] != "VpcConfig":  # an agency may have none
                yield Change(
                    ChangeClass.PROTECTION_WEAKENED,
                    (stack,),
                    side.paths[logical_id],
                    _new(rule),
                    rule.why,
                    _IN_FORCE,
                    None,
                    text_of(new, side) if isinstance(new, Mapping | list) else new,
                )


def _new(rule: Rule) -> str:
    return f"new, and unlike the others: {rule.summary}"


def _unlike(side: StackSide, logical_id: str, others: Iterable[StackSide]) -> Iterator[tuple[Rule, Any]]:
    """The rules that a resource breaks beside each of its type in the others, and its value."""
    kind, after = side.resources[logical_id]["Type"], side.properties(logical_id)
    rules = [rule for rule in RULES if rule.resource_type == kind]
    alike = [other.properties(one) for other in others for one in other.of_type(kind)] if rules else []
    for rule in rules if alike else ():
        new = _at(after, rule.path)
        # Its own key or group is another than theirs, as it should be.
        is_own = new is not None and rule.is_weaker in (differs, becomes_another)
        if is_own or _is_of_its_models(rule, after):
            continue
        if all(rule.is_weaker(_at(other, rule.path), new) for other in alike):
            yield rule, new


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _weakened(
    comparison: Comparison, logical_id: str, summary: str, why: str, before: Any, after: Any
) -> Change:
    return comparison.change(
        ChangeClass.PROTECTION_WEAKENED,
        comparison.path(logical_id),
        summary,
        why=why,
        effect=_IN_FORCE,
        before=_value(before, comparison, is_before=True),
        after=_value(after, comparison, is_before=False),
    )


def _value(value: Any, comparison: Comparison, *, is_before: bool) -> Any:
    if not isinstance(value, Mapping | list):
        return value
    return text_of(value, comparison.before if is_before else comparison.after)


def _kept_no_longer(comparison: Comparison, logical_id: str) -> Iterator[Change]:
    """What holds data was kept when it left the stack or was replaced, and isn't any more."""
    old, new = comparison.before.resources[logical_id], comparison.after.resources[logical_id]
    if new["Type"] not in STATEFUL:
        return
    what = STATEFUL[new["Type"]][0]
    for name, when in (("DeletionPolicy", "the stack goes"), ("UpdateReplacePolicy", "it is replaced")):
        if old.get(name) in ("Retain", "Snapshot") and new.get(name) not in ("Retain", "Snapshot"):
            comparison.explain(logical_id, name)
            yield _weakened(
                comparison,
                logical_id,
                f"the {what} is deleted when {when}",
                LOST,
                old.get(name),
                new.get(name, "Delete"),
            )


def _volumes(comparison: Comparison) -> Iterator[Change]:
    """An endpoint's volume without a key, unless its instances have disks that encrypt themselves."""
    for logical_id in comparison.kept(ENDPOINT_CONFIG):
        before, after = comparison.before.properties(logical_id), comparison.after.properties(logical_id)
        if "KmsKeyId" not in before or "KmsKeyId" in after:
            continue
        types = [variant.get("InstanceType") for variant in after.get("ProductionVariants", ())]
        known = [load_catalogue().find(str(one)) for one in types]
        if any(one is None or not one.local_storage_gb for one in known):
            yield _weakened(
                comparison,
                logical_id,
                "the endpoint's volume is no longer encrypted with the agency's key",
                READABLE,
                before["KmsKeyId"],
                None,
            )


def _way_back(comparison: Comparison) -> Iterator[Change]:
    """An endpoint without the alarms that took a bad update back, on itself or on its inference component."""
    for logical_id in comparison.kept(ENDPOINT):
        before, after = (
            _rollback_alarms(comparison, side, logical_id) for side in (comparison.before, comparison.after)
        )
        gone = [one for one in before if one not in after]
        if gone:
            if _without_alarms(comparison.before, logical_id) == _without_alarms(
                comparison.after, logical_id
            ):
                comparison.explain(logical_id, _ROLLBACK[0])
            yield _weakened(
                comparison,
                logical_id,
                f"a bad update is no longer taken back by {listed(map(_last, gone))}"
                if after
                else "no alarm takes a bad update back any more",
                "An update that breaks the endpoint stays.",
                list(map(_last, before)),
                list(map(_last, after)) or None,
            )


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _without_alarms(side: StackSide, endpoint: str) -> dict[str, Any]:
    deployment = side.properties(endpoint).get(_ROLLBACK[0], {})
    return {name: value for name, value in deployment.items() if name != _ROLLBACK[1]}


def _rollback_alarms(comparison: Comparison, side: StackSide, endpoint: str) -> list[str]:
    """The alarms, by their construct paths, of an endpoint or of its inference component."""
    model = comparison.model_of(endpoint)
    ours = [one for one in side.of_type(INFERENCE_COMPONENT) if comparison.model_of(one) == model]
    alarms = [(_at(side.properties(one), _ROLLBACK) or {}).get("Alarms", ()) for one in (endpoint, *ours)]
    names = (text_of(alarm.get("AlarmName"), side) for found in alarms for alarm in found)
    return [name.removeprefix("${").removesuffix("}") for name in names]
