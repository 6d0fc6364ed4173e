"""The condition block of a policy statement."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Json = Any

Context = Mapping[str, str | None]
"""Condition keys in lower case and what the request says of them; None: the request is without that key.

A key that is not in the mapping is one that nobody here knows, which is no reason to guess.
"""

IF_EXISTS = "IfExists"


class CannotEvaluate(Exception):
    """A policy that says something that is not built here: the message names it."""


def wildcard(pattern: str, value: str) -> bool:
    """Whether the value fits IAM's pattern: `*` is any text, `?` one character, nothing else is special."""
    parts = [{"*": ".*", "?": "."}.get(character) or re.escape(character) for character in pattern]
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _arn_like(pattern: str, value: str) -> bool:
    """Each of the six parts by itself, so that a star reaches over no colon but in the last."""
    patterns, parts = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(parts) and all(map(wildcard, patterns, parts))


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": _arn_like,  # the two are the same to IAM
    "ArnLike": _arn_like,
    "Bool": lambda wanted, actual: actual.lower() == wanted.lower(),
    "NumericEquals": lambda wanted, actual: float(actual) == float(wanted),
    "NumericGreaterThan": lambda wanted, actual: float(actual) > float(wanted),
    "NumericGreaterThanEquals": lambda wanted, actual: float(actual) >= float(wanted),
    "NumericLessThan": lambda wanted, actual: float(actual) < float(wanted),
    "NumericLessThanEquals": lambda wanted, actual: float(actual) <= float(wanted),
    "StringEquals": lambda wanted, actual: actual == wanted,
    "StringEqualsIgnoreCase": lambda wanted, actual: actual.lower() == wanted.lower(),
    "StringLike": wildcard,
}
# Each holds where its positive does not, and where the request is without the key.
_NEGATED: Mapping[str, str] = {
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
}


def hold(block: Mapping[str, Json], context: Context) -> bool:
    """Whether every condition of the block holds. Raises CannotEvaluate for what is not built."""
    return all(
        _holds(operator, key, [_text(value) for value in as_list(wanted)], context)
        for operator, entries in block.items()
        for key, wanted in entries.items()
    )


def _holds(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    if key.lower() not in context:
        raise CannotEvaluate(f"the condition key {key}")
    if any("${" in value for value in wanted):
        raise CannotEvaluate(f"the policy variable in {wanted[0]!r}")
    actual = context[key.lower()]
    if operator == "Null":
        return (actual is None) == (wanted == ["true"])
    name = operator.removesuffix(IF_EXISTS)
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None:
        raise CannotEvaluate(f"the condition operator {operator}")
    if actual is None:
        return name in _NEGATED or operator.endswith(IF_EXISTS)
    return any(compare(value, actual) for value in wanted) != (name in _NEGATED)


def as_list(value: Json) -> list[Json]:
    """A policy writes one string where it could write a list of one."""
    return value if isinstance(value, list) else [value]


def _text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
