"""What clients notice: endpoints that go, come, or move to new instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from quant_llm.names import pascal_case
from quant_llm_tools.review.classify.comparison import (
    ENDPOINT_CONFIG,
    INFERENCE_COMPONENT,
    MODEL,
    Comparison,
    StackSide,
)
from quant_llm_tools.review.classify.deployments import Rollout, rollout
from quant_llm_tools.review.classify.flat import differences, leaves
from quant_llm_tools.review.classify.weights import ARTIFACT, sources_of
from quant_llm_tools.review.classify.words import listed
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.sides import Environment
from quant_llm_tools.review.templates import Impact

WHOLE_STACK: Final = "(the stack)"

_IMAGE_DIGEST: Final = "Custom::EngineImageDigest"
_CONFIGURATION: Final = "EndpointConfigName"
_OF_OTHER_CLASSES: Final = ("Tags",)
_CLIENTS_BREAK: Final = "Clients hold the endpoint's name: every call to the old one fails."


def moved(stack: str, before: Environment | None, after: Environment | None) -> Iterator[Change]:
    """`endpoint-replaced`, for a stack that goes to another account or region."""
    if before is None or after is None or before == after:
        return
    yield Change(
        ChangeClass.ENDPOINT_REPLACED,
        (stack,),
        WHOLE_STACK,
        f"the stack moves from {before.region} to {after.region}"
        if before.account == after.account
        else "the stack moves to another account",
        why="Its endpoints answer in one account and region only: clients must call the new ones.",
        effect="A new stack is made there. The old one stays, and is billed, until somebody destroys it.",
        before=before._asdict(),
        after=after._asdict(),
    )


def replaced(comparison: Comparison) -> Iterator[Change]:
    """`endpoint-replaced`: an endpoint goes, or is made anew."""
    for model, logical_id in comparison.before.endpoints.items():
        name = comparison.before.properties(logical_id).get("EndpointName")
        path = comparison.path(logical_id)
        if logical_id not in comparison.after.resources:
            comparison.tell_of(model)
            _explain_all_of(comparison, model, comparison.removed())
            yield comparison.change(
                ChangeClass.ENDPOINT_REPLACED,
                path,
                "the endpoint is removed",
                why=_CLIENTS_BREAK,
                effect="The endpoint and its instances are deleted; the weights stay in the bucket.",
                before=name,
            )
        elif comparison.impact(logical_id) is Impact.WILL_REPLACE:
            comparison.explain(logical_id)
            yield comparison.change(
                ChangeClass.ENDPOINT_REPLACED,
                path,
                "the endpoint is replaced by another",
                why=_CLIENTS_BREAK,
                effect="CloudFormation makes the new endpoint, then deletes the old one.",
                before=name,
                after=comparison.after.properties(logical_id).get("EndpointName"),
            )


def added(comparison: Comparison) -> Iterator[Change]:
    """`endpoint-added`: a model that the agency didn't have."""
    for model, logical_id in comparison.after.endpoints.items():
        if logical_id in comparison.before.resources:
            continue
        comparison.tell_of(model)
        _explain_all_of(comparison, model, comparison.added())
        types = [
            variant.get("InstanceType", "serverless")
            for one in comparison.added(ENDPOINT_CONFIG)
            if comparison.model_of(one) == model
            for variant in comparison.after.properties(one).get("ProductionVariants", [])
        ]
        yield comparison.change(
            ChangeClass.ENDPOINT_ADDED,
            comparison.path(logical_id),
            f"a new endpoint on {listed(types)}" if types else "a new endpoint",
            why="It costs money from the deploy on, and has a role of its own.",
            effect="The weights are brought into the bucket first, then the endpoint starts.",
            after={
                "endpoint": comparison.after.properties(logical_id).get("EndpointName"),
                "weights": [
                    sources_of(comparison.after, one)
                    for one in comparison.added(ARTIFACT)
                    if comparison.model_of(one) == model
                ],
            },
        )


def rolls(comparison: Comparison) -> Iterator[Change]:
    """`endpoint-rolls`: what is behind an endpoint is replaced, as its deployment configuration says."""
    for model, logical_id in comparison.after.endpoints.items():
        if logical_id not in comparison.before.resources:
            continue
        behind = [
            one
            for one in comparison.kept(MODEL, ENDPOINT_CONFIG, INFERENCE_COMPONENT)
            if comparison.model_of(one) == model
        ]
        if not _moves(comparison, logical_id, behind):
            continue
        comparison.tell_of(model)
        comparison.explain(logical_id, _CONFIGURATION, "DeploymentConfig")
        other_form = [
            one
            for one in (*comparison.added(INFERENCE_COMPONENT), *comparison.removed(INFERENCE_COMPONENT))
            if comparison.model_of(one) == model
        ]
        for one in (*behind, *other_form):
            comparison.explain(one)
        before, after = _behind(comparison.before, behind), _behind(comparison.after, behind)
        old, new = differences(before, after)
        causes = [*(_cause(path) for path in (*old, *new)), *_referred_to(comparison, behind)]
        if other_form:
            causes = ["an inference component in place of instances of its own, or the other way round"]
        yield comparison.change(
            ChangeClass.ENDPOINT_ROLLS,
            comparison.path(logical_id),
            f"the endpoint moves to new instances: {listed(sorted(dict.fromkeys(causes), key=_rank))}",
            why="Its name and address stay; an alarm within the update takes it back.",
            effect=_rollout(comparison, logical_id, behind).sentence,
            before=_shown(old),
            after=_shown(new),
        )


def _explain_all_of(comparison: Comparison, model: str, logical_ids: list[str]) -> None:
    for one in logical_ids:
        if comparison.model_of(one) == model:
            comparison.explain(one)
    for side in (comparison.before, comparison.after):
        for output in side.template.get("Outputs", {}):
            if output in (f"{pascal_case(model)}EndpointName", f"{pascal_case(model)}ModelDataUrl"):
                comparison.explain(f"output {output}")


def _referred_to(comparison: Comparison, logical_ids: list[str]) -> Iterator[str]:
    """What changes a model or configuration though its own text is the same."""
    for one in logical_ids:
        effect = comparison.effects.get(one)
        for name, prop in effect.properties.items() if effect else ():
            for through in prop.through:
                if comparison.after.resources[through]["Type"] == _IMAGE_DIGEST:
                    yield _CAUSES["Image"]
                elif through not in logical_ids:
                    yield f"{name}, by way of {comparison.path(through)}"


def _moves(comparison: Comparison, endpoint: str, behind: list[str]) -> bool:
    """Whether the endpoint gets another configuration, or what is on its instances another model."""
    for one, name in ((endpoint, _CONFIGURATION), *((one, "Specification") for one in behind)):
        effect = comparison.effects.get(one)
        if effect is not None and name in effect.properties:
            return True
    return False


def _rollout(comparison: Comparison, endpoint: str, behind: list[str]) -> Rollout:
    """By the endpoint's deployment configuration, or its inference component's where it has one."""
    deployment = comparison.after.properties(endpoint).get("DeploymentConfig", {})
    variant: dict[str, Any] = {}
    for one in behind:
        properties = comparison.after.properties(one)
        variant.update(next(iter(properties.get("ProductionVariants", ())), {}))
        variant.update(properties.get("Specification", {}).get("StartupParameters", {}))
        deployment = deployment or properties.get("DeploymentConfig", {})
    return rollout(deployment, variant)


def _behind(side: StackSide, logical_ids: list[str]) -> dict[str, Any]:
    """The properties of the model and its configuration, flat."""
    found: dict[str, Any] = {}
    for one in logical_ids:
        kept = {key: value for key, value in side.properties(one).items() if key not in _OF_OTHER_CLASSES}
        found.update(leaves(kept, side))
    return found


_CAUSES: Final = {
    "Image": "another image",
    "ModelDataUrl": "another model artifact",
    "ModelDataSource": "another model artifact",
    "VpcConfig": "another network attachment",
    "EnableNetworkIsolation": "network isolation",
    "InstanceType": "another instance type",
    "InferenceAmiVersion": "another machine image",
    "InitialInstanceCount": "the number of instances that it starts with",
    "KmsKeyId": "the volume's encryption",
    "VolumeSizeInGB": "the volume's size",
    "ContainerStartupHealthCheckTimeoutInSeconds": "the start-up timeout",
    "ModelDataDownloadTimeoutInSeconds": "the download timeout",
}


def _cause(path: str) -> str:
    parts = path.replace("]", "").replace("[", ".").split(".")
    if "Environment" in parts:
        return f"the container's {parts[-1]}"
    return next((_CAUSES[part] for part in parts if part in _CAUSES), path)


def _rank(cause: str) -> int:
    """What matters most first: image, artifact, network, machines; then variables of the container."""
    order = list(_CAUSES.values())
    return order.index(cause) if cause in order else len(order)


def _shown(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What other lines of the review don't show: image and artifact have their own."""
    kept = {
        path.removeprefix("PrimaryContainer.").removeprefix("ProductionVariants[0]."): value
        for path, value in values.items()
        if _cause(path) not in (_CAUSES["Image"], _CAUSES["ModelDataUrl"])
    }
    return kept or None
