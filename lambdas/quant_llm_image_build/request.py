"""What the custom resources ask for, and how it travels through a build and comes back with its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# The request goes into the build as environment variables, so the build itself is the only state there is.
_PREFIX = "QUANTLLM_"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image's name in its repository: what `Custom::EngineImageDigest` asks for."""

    repository_name: str
    repository_uri: str
    tag: str

    @property
    def physical_id(self) -> str:
        """The image by tag: a new tag is a new resource, and removing the old one does nothing."""
        return f"{self.repository_uri}:{self.tag}"

    def by_digest(self, digest: str) -> str:
        """The image's URI that can never mean another image."""
        return f"{self.repository_uri}@{digest}"

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> Image:
        """Read the resource's properties; KeyError names a missing one."""
        return cls(
            repository_name=properties["RepositoryName"],
            repository_uri=properties["RepositoryUri"],
            tag=properties["Tag"],
        )


@dataclass(frozen=True, kw_only=True)
class ImageRequest(Image):
    """An image that is wanted: where it is built, and the wait condition's URL that is told how it ended."""

    project_name: str
    wait_handle: str

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> ImageRequest:
        """Read the resource's properties; KeyError names a missing one."""
        return cls(
            project_name=properties["ProjectName"],
            repository_name=properties["RepositoryName"],
            repository_uri=properties["RepositoryUri"],
            tag=properties["Tag"],
            wait_handle=properties["WaitHandle"],
        )

    def to_build_variables(self) -> list[dict[str, str]]:
        """The overrides for `StartBuild`: the tag to build, and this request."""
        carried = {_variable(field.name): getattr(self, field.name) for field in fields(self)}
        return [
            {"name": name, "value": value, "type": "PLAINTEXT"}
            for name, value in {**carried, "IMAGE_TAG": self.tag}.items()
        ]

    @classmethod
    def from_build(cls, build: Mapping[str, Any]) -> ImageRequest | None:
        """The request that a build carries; None for a build that somebody started by hand."""
        environment = build["environment"].get("environmentVariables", ())
        variables = {variable["name"]: variable["value"] for variable in environment}
        try:
            return cls(**{field.name: variables[_variable(field.name)] for field in fields(cls)})
        except KeyError:
            return None


def _variable(field: str) -> str:
    return _PREFIX + field.upper()
