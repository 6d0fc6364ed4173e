"""What a deploy did to the resources of a stack, and which of that loses something."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.e2e.conftest import Platform
from tests.stack.baseline import KEPT

Json = Any


@dataclass(frozen=True)
class Resource:
    """A resource of a deployed stack; `path` is that of its construct, as far as the template tells."""

    type: str
    physical_id: str
    path: str


@dataclass(frozen=True)
class Change:
    """What became of one: `added`, `updated`, `replaced` or `removed`."""

    logical_id: str
    type: str
    path: str
    what: str

    @property
    def loses(self) -> bool:
        """Whether weights, a key, images, or the name that clients call are gone from the stack."""
        return self.type in KEPT and self.what in ("replaced", "removed")


Resources = Mapping[str, Resource]


def resources(platform: Platform, agency: str) -> Resources:
    """The resources of an agency's stack by logical id; empty when there is no stack."""
    cloudformation, name = platform.client("cloudformation"), platform.stack_name(agency)
    if name not in [stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]]:
        return {}
    template = cloudformation.get_template(StackName=name)["TemplateBody"]["Resources"]
    return {
        one["LogicalResourceId"]: Resource(
            one["ResourceType"],
            one["PhysicalResourceId"],
            _path(template.get(one["LogicalResourceId"], {})) or one["LogicalResourceId"],
        )
        for one in cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    }


def _path(resource: Mapping[str, Json]) -> str:
    path: str = resource.get("Metadata", {}).get("aws:cdk:path", "")
    return path.partition("/")[2].removesuffix("/Resource")


def updated(events: Collection[Mapping[str, Json]]) -> set[str]:
    """The logical ids that events say were updated."""
    return {
        event["LogicalResourceId"]
        for event in events
        if event["ResourceStatus"].startswith("UPDATE_COMPLETE")
    }


def compare(before: Resources, after: Resources, updated: Collection[str]) -> Iterator[Change]:
    """The changes between two states; `updated` are the logical ids that the deploy touched."""
    for logical_id in sorted(before.keys() | after.keys()):
        old, new = before.get(logical_id), after.get(logical_id)
        known = new or old
        assert known is not None
        if new is None:
            what = "removed"
        elif old is None:
            what = "added"
        elif (old.type, old.physical_id) != (new.type, new.physical_id):
            what = "replaced"
        elif logical_id in updated:
            what = "updated"
        else:
            continue
        yield Change(logical_id, known.type, known.path, what)
