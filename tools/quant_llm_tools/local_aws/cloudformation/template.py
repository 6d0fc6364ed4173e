"""A template: read from JSON or YAML, its parameters given, its rules checked, its resources in order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML has no types

from quant_llm_tools.local_aws.cloudformation.errors import ValidationError
from quant_llm_tools.local_aws.cloudformation.intrinsics import Resolver

Json = Any


class _TemplateLoader(yaml.SafeLoader):  # type: ignore[misc]  # so its classes are Any
    """YAML with CloudFormation's short forms; dates stay strings, as a policy's Version is one."""


_TemplateLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Json:
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise ValidationError(f"Template format error: !{tag} of {node!r}")
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


yaml.add_multi_constructor("!", _short_form, _TemplateLoader)


def parse(body: str) -> dict[str, Json]:
    """Read a template; ValidationError when it is neither JSON nor YAML, or has no resources."""
    try:
        # JSON is tried first: it is what the CDK writes, and far quicker to read.
        json_like = body.lstrip().startswith("{")
        template = json.loads(body) if json_like else yaml.load(body, _TemplateLoader)  # noqa: S506 - a SafeLoader
    except (ValueError, yaml.YAMLError) as error:
        raise ValidationError(f"Template format error: {error}") from None
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise ValidationError("Template format error: At least one Resources member must be defined.")
    for logical_id, resource in template["Resources"].items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise ValidationError(f"Template format error: [/Resources/{logical_id}] has no Type")
    if "Transform" in template:
        raise ValidationError("the embedded AWS does not know the template section Transform")
    return template


def parameter_values(
    template: Mapping[str, Json], given: Mapping[str, str], ssm_parameter: Callable[[str], str]
) -> dict[str, Json]:
    """The parameters' values: given or default, checked; SSM parameters looked up, lists split."""
    declared: Mapping[str, Json] = template.get("Parameters", {})
    if unknown := [name for name in given if name not in declared]:
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name, spec in declared.items() if name not in given and "Default" not in spec]
    if missing:
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    return {
        name: _parameter_value(name, spec, str(given.get(name, spec.get("Default"))), ssm_parameter)
        for name, spec in declared.items()
    }


def _parameter_value(
    name: str, spec: Mapping[str, Json], raw: str, ssm_parameter: Callable[[str], str]
) -> Json:
    if "AllowedValues" in spec and raw not in [str(value) for value in spec["AllowedValues"]]:
        allowed = ", ".join(str(value) for value in spec["AllowedValues"])
        raise ValidationError(f"Parameter '{name}' must be one of AllowedValues [{allowed}], got {raw!r}")
    if "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], raw):
        raise ValidationError(f"Parameter '{name}' must match pattern {spec['AllowedPattern']}, got {raw!r}")
    kind = str(spec.get("Type", "String"))
    if looked_up := re.fullmatch(r"AWS::SSM::Parameter::Value<(.+)>", kind):
        raw, kind = ssm_parameter(raw), looked_up[1]
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in raw.split(",")] if raw else []
    return raw


def check_rules(template: Mapping[str, Json], resolver: Resolver) -> None:
    """Evaluate the template's rules; ValidationError with the description of the first that does not hold."""
    for name, rule in template.get("Rules", {}).items():
        if "RuleCondition" in rule and not resolver.resolve(rule["RuleCondition"]):
            continue
        for assertion in rule["Assertions"]:
            if not resolver.resolve(assertion["Assert"]):
                description = assertion.get("AssertDescription", "does not hold")
                raise ValidationError(f"Template error: rule {name}: {description}")


def wanted_resources(template: Mapping[str, Json], resolver: Resolver) -> dict[str, Mapping[str, Json]]:
    """The resources whose condition holds, each after all that it refers to or depends on."""
    return {logical_id: template["Resources"][logical_id] for logical_id in dependencies(template, resolver)}


def dependencies(template: Mapping[str, Json], resolver: Resolver) -> dict[str, list[str]]:
    """What each wanted resource refers to or depends on; the resources in an order that heeds it."""
    resources: Mapping[str, Json] = template["Resources"]
    wanted = {
        logical_id: resource
        for logical_id, resource in resources.items()
        if "Condition" not in resource or resolver.condition(resource["Condition"])
    }
    found = {
        # A dependency on a resource whose condition does not hold is dropped; a reference to one is an error.
        logical_id: [name for name in _depends_on(resource) if name in wanted or name not in resources]
        + list(resolver.references(resource.get("Properties", {})))
        for logical_id, resource in wanted.items()
    }
    if unresolved := sorted({name for names in found.values() for name in names} - set(wanted)):
        raise ValidationError(
            f"Template format error: Unresolved resource dependencies [{', '.join(unresolved)}]"
            " in the Resources block of the template"
        )
    return {logical_id: found[logical_id] for logical_id in _ordered(found)}


def _depends_on(resource: Mapping[str, Json]) -> Iterator[str]:
    value = resource.get("DependsOn", [])
    yield from [value] if isinstance(value, str) else value


def _ordered(needed: Mapping[str, list[str]]) -> list[str]:
    """Depth first, in the template's order, so that the same template always runs in the same order."""
    order: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in path:
            circle = ", ".join(path[path.index(name) :])
            raise ValidationError(f"Circular dependency between resources: [{circle}]")
        path.append(name)
        for dependency in needed[name]:
            visit(dependency)
        path.pop()
        order[name] = None

    for name in needed:
        visit(name)
    return list(order)
