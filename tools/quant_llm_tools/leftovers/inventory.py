"""Which resources of an account are of an agency's stack and belong to no stack any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from quant_llm.names import AGENCY_TAG

_STACK_TAG = "aws:cloudformation:stack-name"  # CloudFormation's own, where a service has it
# What lets a stack go: whatever else a resource's status is, the stack has it.
_LET_GO = ("DELETE_COMPLETE", "DELETE_SKIPPED")


@dataclass(frozen=True)
class Tagged:
    """A resource by its ARN, with its tags."""

    arn: str
    tags: Mapping[str, str]

    @property
    def service(self) -> str:
        """As in the ARN: `s3`, `kms`."""
        return self.arn.split(":")[2]

    @property
    def kind(self) -> str:
        """The service and the type of resource, as the tagging API has them: `s3`, `kms:key`."""
        kind, name = self._parts
        return f"{self.service}:{kind}" if name else self.service

    @property
    def name(self) -> str:
        """The last part of the ARN: a bucket's name, a key's id."""
        kind, name = self._parts
        return name or kind

    @property
    def physical_ids(self) -> set[str]:
        """What CloudFormation may call it: types differ in whether that is the ARN or the name."""
        return {self.arn, self.name}

    @property
    def _parts(self) -> tuple[str, str]:
        resource = self.arn.split(":", 5)[5]
        separator = "/" if "/" in resource.partition(":")[0] else ":"
        kind, _, name = resource.partition(separator)
        return kind, name


@dataclass(frozen=True)
class StackState:
    """A stack that exists: its status, and its resources' statuses by physical id."""

    status: str
    resources: Mapping[str, str]

    @property
    def held(self) -> set[str]:
        """The physical ids of what the stack has."""
        return {name for name, status in self.resources.items() if status not in _LET_GO}


class Descriptions(Protocol):
    """What is asked about a key, whose ARN says nothing of its stack."""

    def key_description(self, key_id: str) -> str | None:
        """What the key is for; None for one that is about to be deleted."""
        ...


def left_behind(
    resources: Iterable[Tagged],
    agency: str,
    stack_name: str,
    stack: StackState | None,
    descriptions: Descriptions,
) -> Iterator[Tagged]:
    """The resources of the agency's stack that it, or a deleted stack of its name, has let go.

    Others may tag with `agency` too: of the stack is what CloudFormation says so of, what has a name that
    begins with the stack's, as CloudFormation makes them, and a key whose description ends with it.
    """
    held = set() if stack is None else stack.held
    for one in resources:
        if one.tags.get(AGENCY_TAG) != agency or one.physical_ids & held:
            continue
        if one.kind == "kms:key":
            description = descriptions.key_description(one.name)
            if description is not None and description.endswith(f" of {stack_name}"):
                yield one
        elif one.tags.get(_STACK_TAG, stack_name) == stack_name and (
            _STACK_TAG in one.tags or one.name.lower().startswith(f"{stack_name.lower()}-")
        ):
            yield one
