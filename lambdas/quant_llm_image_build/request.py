"""What `Custom::EngineImage` asks for, and how it travels through a build and comes back with its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# The request goes into the build as environment variables, so the build itself is the only state there is.
_PREFIX = "QUANTLLM_CFN_"
_CARRIED = {
    "STACK_ID": "StackId",
    "REQUEST_ID": "RequestId",
    "LOGICAL_RESOURCE_ID": "LogicalResourceId",
    "RESPONSE_URL": "ResponseURL",
    "REPOSITORY_NAME": "RepositoryName",
    "REPOSITORY_URI": "RepositoryUri",
    "TAG": "Tag",
}
_PROPERTIES = ("RepositoryName", "RepositoryUri", "Tag")


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One request of CloudFormation: `event` holds what the answer needs, the rest names the image."""

    event: Mapping[str, Any]
    project_name: str
    repository_name: str
    repository_uri: str
    tag: str

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> ImageRequest:
        """Read CloudFormation's event; KeyError names a missing property."""
        properties = event["ResourceProperties"]
        return cls(
            event=event,
            project_name=properties["ProjectName"],
            repository_name=properties["RepositoryName"],
            repository_uri=properties["RepositoryUri"],
            tag=properties["Tag"],
        )

    def to_build_variables(self) -> list[dict[str, str]]:
        """The overrides for `StartBuild`: the tag to build, and the request to answer at the end."""
        values = {**self.event, **{name: self.event["ResourceProperties"][name] for name in _PROPERTIES}}
        variables = {_PREFIX + name: str(values[key]) for name, key in _CARRIED.items()}
        variables["IMAGE_TAG"] = self.tag
        return [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()]

    @classmethod
    def from_build(cls, build: Mapping[str, Any]) -> ImageRequest | None:
        """The request that a build carries; None for a build that somebody started by hand."""
        variables = _by_name(build["environment"].get("environmentVariables", ()))
        if not all(_PREFIX + name in variables for name in _CARRIED):
            return None
        event = {key: variables[_PREFIX + name] for name, key in _CARRIED.items()}
        return cls(
            event=event,
            project_name=build["projectName"],
            repository_name=event["RepositoryName"],
            repository_uri=event["RepositoryUri"],
            tag=event["Tag"],
        )

    @property
    def physical_id(self) -> str:
        """The image by tag: a new tag is a new resource, and removing the old one does nothing."""
        return f"{self.repository_uri}:{self.tag}"


def _by_name(variables: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in variables}
