"""What a change set would do, found by resolving the new template against the resources as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm_tools.local_aws.cloudformation.desired import Desired, resolved_properties
from quant_llm_tools.local_aws.cloudformation.intrinsics import Resolver
from quant_llm_tools.local_aws.cloudformation.schemas import create_only, is_custom, replaces
from quant_llm_tools.local_aws.cloudformation.stack import Resource, Stack
from quant_llm_tools.local_aws.cloudformation.template import check_rules, wanted_resources

Json = Any

_UNKNOWN = "(known after execution)"


def find_changes(stack: Stack, desired: Desired) -> list[dict[str, Json]]:
    """The entries of DescribeChangeSet's `Changes`; also checks the template. ValidationError if it is wrong.

    What a new or replaced resource will be called is not known yet: all that refers to it counts as changed.
    """
    replaced: set[str] = set()

    def reference(logical_id: str) -> str:
        known = logical_id in stack.resources and logical_id not in replaced
        return stack.reference(logical_id) if known else f"{logical_id} {_UNKNOWN}"

    def attribute(logical_id: str, name: str) -> Json:
        known = logical_id in stack.resources and logical_id not in replaced
        return stack.attribute(logical_id, name) if known else f"{logical_id}.{name} {_UNKNOWN}"

    resolver = Resolver(desired.template, desired.values, reference, attribute)
    check_rules(desired.template, resolver)
    wanted = wanted_resources(desired.template, resolver)
    changes = []
    for logical_id, definition in wanted.items():
        existing = stack.resources.get(logical_id)
        if existing is None:
            changes.append(_change("Add", logical_id, definition["Type"]))
            continue
        properties = resolved_properties(definition, desired, resolver)
        if replaces(existing.type, existing.properties, properties):
            replaced.add(logical_id)
        if entry := _modification(existing, definition, properties):
            changes.append(entry)
    changes += [
        _change("Remove", name, resource.type, resource.physical_id, {"PolicyAction": _deletion(resource)})
        for name, resource in stack.resources.items()
        if name not in wanted
    ]
    return changes


def differs(stack: Stack, desired: Desired, changes: list[dict[str, Json]]) -> bool:
    """Whether executing would change anything at all: resources, outputs or tags."""
    deployed = stack.deployed
    if changes or deployed is None:
        return True
    return desired.template.get("Outputs", {}) != deployed.template.get("Outputs", {}) or dict(
        desired.tags
    ) != dict(deployed.tags)


def _modification(
    existing: Resource, definition: Mapping[str, Json], properties: Mapping[str, Json]
) -> dict[str, Json] | None:
    names = [
        name
        for name in {**existing.properties, **properties}
        if existing.properties.get(name) != properties.get(name)
    ]
    metadata = existing.definition.get("Metadata") != definition.get("Metadata")
    policies = any(
        existing.definition.get(policy) != definition.get(policy)
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
    )
    if not names and not metadata and not policies:
        return None
    replaced = replaces(existing.type, existing.properties, properties)
    needs_new = set() if is_custom(existing.type) else create_only(existing.type)
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": "Always" if name in needs_new else "Never",
            },
            "Evaluation": "Dynamic" if _UNKNOWN in str(properties.get(name)) else "Static",
            "ChangeSource": "DirectModification",
        }
        for name in names
    ]
    scope = [
        *(["Properties"] if names else []),
        *(["Metadata"] if metadata else []),
        *(["DeletionPolicy"] if policies else []),
    ]
    more: dict[str, Json] = {
        "Replacement": "True" if replaced else "False",
        "Scope": scope,
        "Details": details,
    }
    if replaced:
        retained = str(existing.definition.get("UpdateReplacePolicy", "Delete")).startswith("Retain")
        more["PolicyAction"] = "ReplaceAndRetain" if retained else "ReplaceAndDelete"
    return _change("Modify", existing.logical_id, existing.type, existing.physical_id, more)


def _change(
    action: str,
    logical_id: str,
    resource_type: str,
    physical_id: str | None = None,
    more: Mapping[str, Json] | None = None,
) -> dict[str, Json]:
    change = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": resource_type}
    if physical_id:
        change["PhysicalResourceId"] = physical_id
    return {"Type": "Resource", "ResourceChange": {**change, "Scope": [], "Details": [], **(more or {})}}


def _deletion(resource: Resource) -> str:
    return (
        "Retain"
        if str(resource.definition.get("DeletionPolicy", "Delete")).startswith("Retain")
        else "Delete"
    )
