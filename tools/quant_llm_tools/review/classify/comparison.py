"""One stack, before and after: what the classes look at, and what of it is explained already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.sides import Environment
from quant_llm_tools.review.templates import Impact, ResourceEffect, Template

_STACK_PREFIX: Final = "QuantLlmStack"
_PATH: Final = "aws:cdk:path"

ENDPOINT: Final = "AWS::SageMaker::Endpoint"
ENDPOINT_CONFIG: Final = "AWS::SageMaker::EndpointConfig"
MODEL: Final = "AWS::SageMaker::Model"
GENERATED_NAMES: Final = "generated names"
"""What a change explains of a policy, in place of a property: it names another thing of the same kind."""
INFERENCE_COMPONENT: Final = "AWS::SageMaker::InferenceComponent"


def agency_of(stack: str) -> str:
    """The agency of a stack: `moh` of `QuantLlmStack-moh`, `default` of `QuantLlmStack`."""
    return stack.removeprefix(_STACK_PREFIX).removeprefix("-") or "default"


@dataclass(frozen=True)
class StackSide:
    """One side of a stack: its template, and the files beside it where there are any.

    `lock` is the text of the agency's lock file, `assembly` the folder that the app's assets are staged in.
    """

    template: Template
    environment: Environment | None = None
    lock: str | None = None
    assembly: Path | None = None

    @cached_property
    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        """The template's resources by logical id."""
        found: Mapping[str, Mapping[str, Any]] = self.template.get("Resources", {})
        return found

    @cached_property
    def paths(self) -> Mapping[str, str]:
        """Each resource's construct path below the stack, by logical id; the id where there is no path."""
        return {
            logical_id: str(resource.get("Metadata", {}).get(_PATH, "")).partition("/")[2] or logical_id
            for logical_id, resource in self.resources.items()
        }

    @cached_property
    def endpoints(self) -> Mapping[str, str]:
        """The logical id of each model's endpoint, by the model's name: the first part of its path."""
        return {self.paths[one].partition("/")[0]: one for one in self.of_type(ENDPOINT)}

    def of_type(self, *types: str) -> list[str]:
        """The logical ids of the resources of these types."""
        return [one for one, resource in self.resources.items() if resource["Type"] in types]

    def properties(self, logical_id: str) -> Mapping[str, Any]:
        """A resource's properties; none when it isn't there."""
        found: Mapping[str, Any] = self.resources.get(logical_id, {}).get("Properties", {})
        return found


@dataclass
class Comparison:
    """The two sides of one stack and what CloudFormation makes of their difference.

    `explained` has what the changes found so far account for, as logical id and property; `*` for all. `told`
    are the endpoints, by name, that a change is about.
    """

    stack: str
    before: StackSide
    after: StackSide
    effects: Mapping[str, ResourceEffect]
    explained: set[tuple[str, str]] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    @property
    def agency(self) -> str:
        """The agency whose stack it is."""
        return agency_of(self.stack)

    def path(self, logical_id: str) -> str:
        """The construct path of a resource of either side."""
        paths = self.after.paths if logical_id in self.after.paths else self.before.paths
        return paths[logical_id]

    def model_of(self, logical_id: str) -> str | None:
        """The model that a resource is there for, by its path; None for what all of the stack share."""
        models = {**self.before.endpoints, **self.after.endpoints}
        return next((part for part in self.path(logical_id).split("/") if part in models), None)

    def added(self, *types: str) -> list[str]:
        """Logical ids that only head has, of these types or of all."""
        new = (one for one in self.after.resources if one not in self.before.resources)
        return [one for one in new if not types or self.after.resources[one]["Type"] in types]

    def removed(self, *types: str) -> list[str]:
        """Logical ids that only base has, of these types or of all."""
        gone = (one for one in self.before.resources if one not in self.after.resources)
        return [one for one in gone if not types or self.before.resources[one]["Type"] in types]

    def kept(self, *types: str) -> list[str]:
        """Logical ids of both sides, of these types or of all."""
        both = (one for one in self.after.resources if one in self.before.resources)
        return [one for one in both if not types or self.after.resources[one]["Type"] in types]

    def differing(self, logical_id: str) -> list[str]:
        """The properties of a resource whose text differs between the sides."""
        before, after = self.before.properties(logical_id), self.after.properties(logical_id)
        return [name for name in {**before, **after} if before.get(name) != after.get(name)]

    def impact(self, logical_id: str) -> Impact:
        """What happens to a resource."""
        effect = self.effects.get(logical_id)
        return Impact.NO_CHANGE if effect is None else effect.impact

    def explain(self, logical_id: str, *properties: str) -> None:
        """Note that a change tells of these properties of a resource, or of all of it when none is named."""
        self.explained.update((logical_id, name) for name in properties or ("*",))

    def is_explained(self, logical_id: str, name: str = "*") -> bool:
        """Whether a change has told of it."""
        return (logical_id, "*") in self.explained or (logical_id, name) in self.explained

    def tell_of(self, model: str) -> None:
        """Note that a change is about the endpoint of a model: what else names it follows from that."""
        self.told.add(f"{self.agency}-{model}")

    def change(
        self,
        change_class: ChangeClass,
        resource: str,
        summary: str,
        *,
        why: str,
        effect: str,
        before: Any = None,
        after: Any = None,
    ) -> Change:
        """A change of this stack."""
        return Change(change_class, (self.stack,), resource, summary, why, effect, before, after)
