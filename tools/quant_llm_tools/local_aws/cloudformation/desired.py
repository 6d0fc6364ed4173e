"""What a stack is to become, and the parts of it that are resolved while it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quant_llm_tools.local_aws.cloudformation.errors import ValidationError
from quant_llm_tools.local_aws.cloudformation.intrinsics import Resolver, text
from quant_llm_tools.local_aws.cloudformation.schemas import tags_form

Json = Any


@dataclass(frozen=True)
class Desired:
    """A template with everything that its functions depend on.

    `parameters` are the strings that were given, `values` the parameters with defaults filled in and looked
    up, and the pseudo parameters.
    """

    body: str
    template: Mapping[str, Json]
    parameters: Mapping[str, str]
    values: Mapping[str, Json]
    tags: Mapping[str, str]


def resolved_properties(
    definition: Mapping[str, Json], desired: Desired, resolver: Resolver
) -> dict[str, Json]:
    """A resource's properties with all functions evaluated, and the stack's tags if its type takes tags."""
    try:
        properties = dict(resolver.resolve(definition.get("Properties", {})))
    except (TypeError, IndexError, KeyError, AttributeError) as error:
        raise ValidationError(
            f"Template error: a function's argument has the wrong form: {error!r}"
        ) from error
    form = tags_form(definition["Type"])
    if desired.tags and form == "map":
        properties["Tags"] = {**desired.tags, **properties.get("Tags", {})}
    elif desired.tags and form == "list":
        own = properties.get("Tags", [])
        names = {tag["Key"] for tag in own}
        inherited = [{"Key": key, "Value": value} for key, value in desired.tags.items() if key not in names]
        properties["Tags"] = own + inherited
    return properties


def outputs(template: Mapping[str, Json], resolver: Resolver) -> list[dict[str, str]]:
    """The stack's outputs, as DescribeStacks shows them."""
    described = []
    for key, output in template.get("Outputs", {}).items():
        if "Condition" in output and not resolver.condition(output["Condition"]):
            continue
        entry = {"OutputKey": key, "OutputValue": text(resolver.resolve(output["Value"]))}
        if "Description" in output:
            entry["Description"] = output["Description"]
        if "Export" in output:
            entry["ExportName"] = text(resolver.resolve(output["Export"]["Name"]))
        described.append(entry)
    return described
