"""Resource types of a make-believe cloud, and stacks made of them without any server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from quant_llm_tools.local_aws.cloud import Cloud
from quant_llm_tools.local_aws.cloudformation.desired import Desired
from quant_llm_tools.local_aws.cloudformation.executor import Executor
from quant_llm_tools.local_aws.cloudformation.stack import Stack
from quant_llm_tools.local_aws.resources import Request
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any


class Thing:
    """Things have values: "refused" is not even begun, "broken" fails half-way, "stuck" is never removed."""

    def __init__(self) -> None:
        self.there: dict[str, Json] = {}
        self.calls: list[str] = []
        self._made = 0

    def create(self, request: Request) -> None:
        if request.properties.get("Value") == "refused":
            raise ResourceFailed("it is refused")
        self._made += 1
        name = f"{request.logical_id}-{self._made}"
        request.identify(name)
        self._set(name, request, "create")

    def update(self, request: Request) -> None:
        self._set(request.physical_id, request, "update")

    def delete(self, request: Request) -> None:
        self.calls.append(f"delete {request.physical_id}")
        if request.properties.get("Value") == "stuck":
            raise ResourceFailed("it is stuck")
        del self.there[request.physical_id]

    def _set(self, name: str, request: Request, doing: str) -> None:
        value = request.properties.get("Value")
        for other in ("Name", "BucketName", "Needs", "Tags"):
            request.properties.get(other)
        self.calls.append(f"{doing} {name} {value}")
        self.there[name] = value
        if value == "broken":
            raise ResourceFailed("it is broken")
        request.attributes = {"Value": value, "Name": name}


class World:
    """One stack in a cloud where every type but `Test::Unknown` is a Thing."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.things = Thing()
        self.stack = Stack("test", "123456789012", "eu-west-1", "aws")

    def desired(self, resources: Mapping[str, Json], **more: Json) -> Desired:
        template = {"Resources": resources, **more}
        return Desired("", template, {}, self.stack.pseudo_parameters(), more.get("Tags", {}))

    def create(self, resources: Mapping[str, Json], **more: Json) -> None:
        self._executor().create(self.desired(resources, **more))

    def update(self, resources: Mapping[str, Json], **more: Json) -> None:
        self._executor().update(self.desired(resources, **more))

    def delete(self, retained: list[str] | None = None) -> None:
        self._executor().delete(retained or [])

    def statuses(self, logical_id: str | None = None) -> list[str]:
        """What was recorded since the last time, as `logical id: status`; of one resource just the status."""
        events, self.stack.events = self.stack.events, []
        if logical_id is None:
            return [f"{event['LogicalResourceId']}: {event['ResourceStatus']}" for event in events]
        return [event["ResourceStatus"] for event in events if event["LogicalResourceId"] == logical_id]

    def _executor(self) -> Executor:
        return Executor(self.cloud, self.stack, lambda name: None if name == "Test::Unknown" else self.things)


@contextmanager
def world() -> Iterator[World]:
    cloud = Cloud()
    try:
        yield World(cloud)
    finally:
        cloud.close()


def thing(value: Json = "v", /, **more: Json) -> dict[str, Json]:
    """A thing's definition; what begins with a capital letter belongs beside the properties."""
    beside = {
        name: more.pop(name) for name in list(more) if name in ("DeletionPolicy", "UpdateReplacePolicy")
    }
    if "DependsOn" in more:
        beside["DependsOn"] = more.pop("DependsOn")
    return {"Type": more.pop("Type", "Test::Thing"), "Properties": {"Value": value, **more}, **beside}
