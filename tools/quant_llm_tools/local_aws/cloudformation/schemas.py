"""What cfn-lint's resource schemas say: which properties replace a resource, which types take tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

_SCHEMAS = files("cfnlint") / "data" / "schemas"
# The schemas of all regions say the same on what is read here.
_PROVIDER = _SCHEMAS / "providers" / "us-east-1.json"


def create_only(resource_type: str) -> frozenset[str]:
    """Names of the properties whose change makes a new resource; for a nested one, its top-level property.

    Empty for a type without schema (custom resources).
    """
    paths: list[str] = _schema(resource_type).get("createOnlyProperties", [])
    # The name of a property within an object: `/properties/EncryptionConfiguration/KmsKey`.
    return frozenset(path.split("/")[2] for path in paths)


def is_custom(resource_type: str) -> bool:
    """Whether a resource is made by a Lambda function of the user's."""
    return resource_type.startswith("Custom::") or resource_type == "AWS::CloudFormation::CustomResource"


def replaces(resource_type: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a change of properties makes a new resource; a custom resource decides that itself."""
    if is_custom(resource_type):
        return False
    return any(old.get(name) != new.get(name) for name in create_only(resource_type))


def tags_form(resource_type: str) -> Literal["list", "map"] | None:
    """How a type takes tags: a list of `{Key, Value}`, a map, or not at all."""
    schema = _schema(resource_type)
    tags = schema.get("properties", {}).get("Tags")
    if tags is None:
        return None
    if "$ref" in tags:
        tags = schema["definitions"][tags["$ref"].rsplit("/", 1)[-1]]
    kinds = tags.get("type", "array")
    return "list" if "array" in kinds else "map"


@cache
def _schema(resource_type: str) -> dict[str, Any]:
    digest = _index().get(resource_type)
    if digest is None:
        return {}
    schema: dict[str, Any] = json.loads((_SCHEMAS / "resources" / f"{digest}.json").read_text())
    return schema


@cache
def _index() -> dict[str, str]:
    index: dict[str, str] = json.loads(_PROVIDER.read_text())
    return index
