"""CloudFormation's intrinsic functions."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from quant_llm_tools.local_aws.cloudformation.errors import ValidationError

Json = Any

NO_VALUE = object()
"""What `AWS::NoValue` resolves to; members and items that are it are left out."""

_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")


class Resolver:
    """Evaluates the functions of one template for one stack.

    `values` are the parameters and pseudo parameters; `reference` and `attribute` answer `Ref` and
    `Fn::GetAtt` of resources. What is not known here raises ValidationError, so nothing is passed over in
    silence.
    """

    def __init__(
        self,
        template: Mapping[str, Json],
        values: Mapping[str, Json],
        reference: Callable[[str], Json],
        attribute: Callable[[str, str], Json],
    ) -> None:
        self._template = template
        self._values = values
        self._reference = reference
        self._attribute = attribute
        self._conditions: dict[str, bool] = {}
        self._functions: dict[str, Callable[[Json], Json]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": lambda argument: argument[0].join(map(text, self.resolve(argument[1]))),
            "Fn::Split": lambda argument: text(self.resolve(argument[1])).split(argument[0]),
            "Fn::Select": lambda argument: self.resolve(argument[1])[int(self.resolve(argument[0]))],
            "Fn::If": lambda argument: self.resolve(argument[1 if self.condition(argument[0]) else 2]),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda argument: base64.b64encode(text(self.resolve(argument)).encode()).decode(),
            "Fn::GetAZs": lambda argument: [
                f"{self.resolve(argument) or self._values['AWS::Region']}{zone}" for zone in "abc"
            ],
            "Condition": self.condition,
            "Fn::Equals": lambda argument: text(self.resolve(argument[0])) == text(self.resolve(argument[1])),
            "Fn::Not": lambda argument: not self.resolve(argument[0]),
            "Fn::And": lambda argument: all(self.resolve(part) for part in argument),
            "Fn::Or": lambda argument: any(self.resolve(part) for part in argument),
            "Fn::Contains": lambda argument: self.resolve(argument[1]) in self.resolve(argument[0]),
        }

    def condition(self, name: str) -> bool:
        """Whether a named condition holds."""
        if name not in self._conditions:
            try:
                definition = self._template["Conditions"][name]
            except KeyError:
                raise ValidationError(
                    f"Template format error: Unresolved condition dependency {name}"
                ) from None
            self._conditions[name] = bool(self.resolve(definition))
        return self._conditions[name]

    def resolve(self, value: Json) -> Json:
        """A value with every function in it evaluated."""
        if isinstance(value, dict):
            if function := self._function(value):
                return function()
            resolved = {key: self.resolve(member) for key, member in value.items()}
            return {key: member for key, member in resolved.items() if member is not NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NO_VALUE]
        if isinstance(value, str) and "{{resolve:" in value:
            raise ValidationError(f"the embedded AWS does not look up dynamic references, got {value!r}")
        return value

    def references(self, value: Json) -> Iterator[str]:
        """The logical ids that a value refers to, in the branches of `Fn::If` that are taken."""
        if isinstance(value, list):
            for item in value:
                yield from self.references(item)
        elif isinstance(value, dict):
            for key, member in value.items():
                if key == "Ref" and len(value) == 1:
                    yield from self._resources([member])
                elif key == "Fn::GetAtt":
                    yield _attribute_path(member)[0]
                elif key == "Fn::If":
                    yield from self.references(member[1 if self.condition(member[0]) else 2])
                elif key == "Fn::Sub":
                    pattern, own = (member, {}) if isinstance(member, str) else member
                    names = [name for literal, name in _SUBSTITUTION.findall(pattern) if not literal]
                    yield from self._resources([name.split(".")[0] for name in names if name not in own])
                    yield from self.references(own)
                else:
                    yield from self.references(member)

    def _resources(self, names: list[str]) -> Iterator[str]:
        return (name for name in names if name not in self._values and name != "AWS::NoValue")

    def _function(self, value: Mapping[str, Json]) -> Callable[[], Json] | None:
        if len(value) != 1:
            return None
        ((name, argument),) = value.items()
        # A policy's statement has a member named Condition too, with an object as its value.
        if name in self._functions and (name != "Condition" or isinstance(argument, str)):
            return partial(self._functions[name], argument)
        if name.startswith("Fn::"):
            raise ValidationError(f"the embedded AWS does not know the intrinsic function {name}")
        return None

    def _ref(self, name: str) -> Json:
        if name == "AWS::NoValue":
            return NO_VALUE
        return self._values[name] if name in self._values else self._reference(name)

    def _get_att(self, argument: Json) -> Json:
        logical_id, name = _attribute_path(argument)
        return self._attribute(logical_id, self.resolve(name))

    def _sub(self, argument: Json) -> str:
        pattern, own = (argument, {}) if isinstance(argument, str) else argument

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in own:
                return text(self.resolve(own[name]))
            return text(self._get_att(name) if "." in name else self._ref(name))

        return _SUBSTITUTION.sub(replace, pattern)

    def _find_in_map(self, argument: Json) -> Json:
        name, first, second = (self.resolve(part) for part in argument)
        try:
            return self._template["Mappings"][name][first][second]
        except KeyError:
            path = f"{name}::{first}::{second}"
            raise ValidationError(f"Template error: Unable to get mapping for {path}") from None


def text(value: Json) -> str:
    """A scalar as CloudFormation writes it into a string."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _attribute_path(argument: Json) -> tuple[str, Json]:
    logical_id, name = argument.split(".", 1) if isinstance(argument, str) else argument
    return logical_id, name
