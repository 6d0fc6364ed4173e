"""One resource being created, updated or deleted: its properties, and calls of its service."""

from __future__ import annotations

import json
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_tools.local_aws.cloud import Cloud
from quant_llm_tools.local_aws.cloudformation.stack import Resource, Stack
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any


class ResourceType(Protocol):
    """How resources of one CloudFormation type are made, changed and removed. Failures: ResourceFailed."""

    def create(self, request: Request) -> None:
        """Make the resource: `request.identify` as soon as it has a physical id, then fill the attributes."""

    def update(self, request: Request) -> None:
        """Change it in place from `request.old` to `request.properties`; identify it anew to replace it."""

    def delete(self, request: Request) -> None:
        """Remove it."""


class Properties(dict[str, Json]):
    """Resolved properties that remember which were asked for: others would be passed over in silence."""

    def __init__(self, properties: Mapping[str, Json]) -> None:
        super().__init__(properties)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Json:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Json = None) -> Json:
        """The property or the default."""
        return self[name] if name in self else default  # noqa: SIM401 - it is what that calls


class Request:
    """What a ResourceType is given.

    `old` holds the properties before an update in place, `replaced` those of the resource that a new one
    replaces; both are empty otherwise. `cancelled` is set when nobody waits for the resource any more.
    """

    def __init__(
        self,
        cloud: Cloud,
        stack: Stack,
        resource: Resource,
        properties: Mapping[str, Json],
        *,
        old: Mapping[str, Json] | None = None,
        replaced: Mapping[str, Json] | None = None,
        identified: Callable[[str], None] = lambda physical_id: None,
    ) -> None:
        self.cloud = cloud
        self.stack = stack
        self.logical_id = resource.logical_id
        self.type = resource.type
        self.physical_id = resource.physical_id or ""
        self.attributes: dict[str, Json] = dict(resource.attributes)
        self.properties = Properties(properties)
        self.old = old or {}
        self.cancelled = threading.Event()
        self._replaced = replaced or {}
        self._identified = identified

    def identify(self, physical_id: str) -> None:
        """The resource exists under this id from now on: a failure later must remove it again."""
        self.physical_id = physical_id
        self._identified(physical_id)

    def name(self, name_property: str, limit: int, *, lower: bool = False) -> str:
        """The name in the template, or one of stack, logical id and chance, as CloudFormation makes them."""
        if name_property in self.properties:
            name = str(self.properties[name_property])
            if self._replaced.get(name_property) == name:
                raise ResourceFailed(
                    "CloudFormation cannot update a stack when a custom-named resource requires replacing."
                    f" Rename {name} and update the stack again."
                )
            return name
        chance = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(12))
        rest = limit - len(chance) - 2
        stack = self.stack.name[: max(rest - len(self.logical_id), rest // 2)]
        generated = f"{stack}-{self.logical_id[: rest - len(stack)]}-{chance}"
        return generated.lower() if lower else generated

    def changed(self, name: str) -> bool:
        """Whether a property differs from before the update, or is there at all when creating."""
        return bool(self.properties.get(name) != self.old.get(name))

    def unapplied(self) -> list[str]:
        """The properties that are new or different and that nothing has asked for."""
        names = [name for name in {**self.old, **self.properties} if name not in self.properties.asked]
        return [name for name in names if self.old.get(name) != dict.get(self.properties, name)]

    def accept_all(self) -> None:
        """Nothing needs to be done for any property."""
        self.properties.asked.update(self.properties, self.old)

    def client(self, service: str) -> Any:
        """A boto3 client in the stack's account and region."""
        return self.cloud.client(service, self.stack.region, self.stack.account)

    def call(self, operation: str, *, replaces: bool = False, **arguments: Json) -> dict[str, Json]:
        """Call `service.operation` with these arguments and all properties that it takes.

        Names are matched regardless of case and values become what the operation's model wants, because
        CloudFormation and the services differ in both. An operation that `replaces` also takes back what is
        no longer among the properties. An error of the service is ResourceFailed.
        """
        service, method = operation.split(".")
        client = self.client(service)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        members = {name.lower(): name for name in model.input_shape.members}
        if replaces:
            self.properties.asked.update(name for name in self.old if name.lower() in members)
        for name in list(self.properties):
            member = members.get(name.lower())
            if member is not None and member not in arguments:
                arguments[member] = converted(
                    self.properties[name], model.input_shape.members[member], f"{self.type} {name}"
                )
        return self.send(getattr(client, method), **arguments)

    def send(self, method: Callable[..., dict[str, Json]], **arguments: Json) -> dict[str, Json]:
        """Call a client's method with just these arguments; an error of the service is ResourceFailed."""
        try:
            return method(**arguments)
        except ClientError as error:
            details = error.response.get("Error", {})
            raise ServiceRefused(str(details.get("Code")), str(details.get("Message"))) from error
        except BotoCoreError as error:
            raise ResourceFailed(str(error)) from error

    def retag(self, arn: str) -> None:
        """Bring the tags of a resource from `old` to `properties`."""
        if not self.changed("Tags"):
            return
        old, new = tag_map(self.old.get("Tags", [])), tag_map(self.properties.get("Tags", []))
        client = self.client("resourcegroupstaggingapi")
        if gone := [key for key in old if key not in new]:
            self._check(self.send(client.untag_resources, ResourceARNList=[arn], TagKeys=gone), arn)
        if new:
            self._check(self.send(client.tag_resources, ResourceARNList=[arn], Tags=new), arn)

    @staticmethod
    def _check(response: Mapping[str, Json], arn: str) -> None:
        if response["FailedResourcesMap"]:
            raise ResourceFailed(f"the embedded AWS cannot change the tags of {arn}")


class ServiceRefused(ResourceFailed):
    """A service answered with an error; `code` is its name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f'Resource handler returned message: "{message}" (HandlerErrorCode: {code})')
        self.code = code

    @property
    def not_found(self) -> bool:
        """Whether the thing is not there."""
        return "NotFound" in self.code or "NoSuch" in self.code


def converted(value: Json, shape: Any, path: str) -> Json:
    """A CloudFormation value as an API's shape wants it: members' spelling, scalar types, documents, tags.

    ResourceFailed for a member that the shape does not have.
    """
    kind = shape.type_name
    if kind == "structure":
        return _structure(value, shape, path)
    if kind == "list":
        if isinstance(value, Mapping):
            value = [{"Key": key, "Value": text} for key, text in value.items()]
        return [converted(item, shape.member, path) for item in value]
    if kind == "map":
        entries = tag_map(value) if isinstance(value, list) else value
        return {str(key): converted(item, shape.value, f"{path}.{key}") for key, item in entries.items()}
    if kind == "string":
        if isinstance(value, Mapping | list):
            return json.dumps(value)
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("double", "float"):
        return float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return value


def _structure(value: Json, shape: Any, path: str) -> dict[str, Json]:
    if not isinstance(value, Mapping):
        raise ResourceFailed(f"{path} must be an object, got {value!r}")
    members = {name.lower(): name for name in shape.members}
    if set(value) == {"Key", "Value"}:  # KMS alone calls them TagKey and TagValue
        members = {
            "key": members.get("tagkey", members.get("key")),
            "value": members.get("tagvalue", members.get("value")),
        }
    arguments = {}
    for name, member_value in value.items():
        member = members.get(name.lower())
        if member is None:
            raise ResourceFailed(f"the embedded AWS does not apply the property {path}.{name}")
        arguments[member] = converted(member_value, shape.members[member], f"{path}.{name}")
    return arguments


def tag_map(tags: Json) -> dict[str, str]:
    """Tags as a map, from either form that templates use."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags}
