"""The rules of Choice states."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from quant_llm_tools.local_aws.step_functions.errors import PathError
from quant_llm_tools.local_aws.step_functions.paths import check_expression, select

Json = Any


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: dict[str, Callable[[Json], bool]] = {
    "String": lambda value: isinstance(value, str),
    "Numeric": _is_number,
    "Boolean": lambda value: isinstance(value, bool),
}
_TESTS: dict[str, Callable[[Json], bool]] = {
    "IsNull": lambda value: value is None,
    "IsString": _KINDS["String"],
    "IsNumeric": _KINDS["Numeric"],
    "IsBoolean": _KINDS["Boolean"],
}
_COMPARISONS: dict[str, Callable[[Json, Json], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_OPERATOR = re.compile(rf"(String|Numeric|Boolean)({'|'.join(_COMPARISONS)})(Path)?$")


def check_rule(rule: Mapping[str, Json]) -> None:
    """ValueError for a rule that cannot be evaluated. `Next` is none of its business."""
    operators = set(rule) - {"Variable", "Next", "Comment"}
    if len(operators) != 1:
        raise ValueError(f"a choice rule must have one operator, got {sorted(operators)}")
    name = operators.pop()
    if name in ("And", "Or"):
        for part in rule[name]:
            check_rule(part)
    elif name == "Not":
        check_rule(rule[name])
    elif name in _TESTS or name in ("IsPresent", "StringMatches") or _OPERATOR.match(name):
        check_expression(rule.get("Variable"))
        if name.endswith("Path"):
            check_expression(rule[name])
    else:
        raise ValueError(f"the embedded AWS does not know the choice operator {name!r}")


def holds(rule: Mapping[str, Json], data: Json, context: Json) -> bool:
    """Whether a rule that was checked applies. PathError if its variable is not there."""
    name = next(key for key in rule if key not in ("Variable", "Next", "Comment"))
    wanted = rule[name]
    if name == "And":
        return all(holds(part, data, context) for part in wanted)
    if name == "Or":
        return any(holds(part, data, context) for part in wanted)
    if name == "Not":
        return not holds(wanted, data, context)
    try:
        value = select(rule["Variable"], data, context)
    except PathError:
        if name == "IsPresent":
            return not wanted
        problem = "The choice state's condition path references an invalid value."
        raise PathError(f"Invalid path '{rule['Variable']}': {problem}") from None
    if name == "IsPresent":
        return bool(wanted)
    if name in _TESTS:
        return _TESTS[name](value) is wanted
    if name == "StringMatches":
        pattern = wanted.replace("[", "[[]").replace("?", "[?]")
        return isinstance(value, str) and fnmatchcase(value, pattern)
    match = _OPERATOR.match(name)
    assert match is not None, f"{name} was checked"  # noqa: S101 - for the type checker
    kind, comparison, by_path = match.groups()
    if by_path:
        wanted = select(wanted, data, context)
    of_kind = _KINDS[kind]
    return of_kind(value) and of_kind(wanted) and _COMPARISONS[comparison](value, wanted)
