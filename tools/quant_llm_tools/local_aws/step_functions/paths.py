"""JSONPath as state machines use it, and the templates that are filled by it.

Paths are of names, indices and wildcards: `$.parts[0].etag`, `$['a b']`, `$[*].etag`. `$$` is the context
object. Filters, slices and `..` are refused when the state machine is created.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from quant_llm_tools.local_aws.step_functions import intrinsics
from quant_llm_tools.local_aws.step_functions.errors import PathError

Json = Any
_STEP = re.compile(
    r"""\.(?P<name>[^\s.\[\]'"*$()?@:,]+)|\[(?P<index>-?\d+)\]|\[(?P<quote>['"])(?P<quoted>.+?)(?P=quote)\]"""
    r"""|(?P<all>\.\*|\[\*\])"""
)
_ALL = object()


def steps(path: str) -> list[Any]:
    """A path's names, indices and wildcards, without the leading `$`. ValueError if it is not one."""
    rest = path[1:]
    found: list[Any] = []
    while match := _STEP.match(rest):
        groups = match.groupdict()
        if groups["index"] is not None:
            found.append(int(groups["index"]))
        else:
            found.append(_ALL if groups["all"] else groups["name"] or groups["quoted"])
        rest = rest[match.end() :]
    if not path.startswith("$") or rest:
        raise ValueError(f"{path!r} is not a path that the embedded AWS reads")
    return found


def check_reference(path: str) -> None:
    """ValueError unless a path names one place: what `ResultPath` takes."""
    if _ALL in steps(path):
        raise ValueError(f"{path!r} must name one place")


def select(path: str, data: Json, context: Json = None) -> Json:
    """What a path names; a list of all that it names if it has a wildcard. PathError if there is nothing."""
    source = context if path.startswith("$$") else data
    found, many = [source], False
    for step in steps(path.removeprefix("$") if path.startswith("$$") else path):
        many = many or step is _ALL
        found = [value for place in found for value in _children(place, step)]
    if not found and not many:
        raise PathError(f"The JSONPath '{path}' could not be found in the input '{compact(source)}'")
    return found if many else found[0]


def _children(place: Json, step: Any) -> list[Json]:
    if step is _ALL:
        return (
            list(place.values()) if isinstance(place, Mapping) else place if isinstance(place, list) else []
        )
    if isinstance(step, int):
        return [place[step]] if isinstance(place, list) and -len(place) <= step < len(place) else []
    return [place[step]] if isinstance(place, Mapping) and step in place else []


def put(path: str | None, data: Json, result: Json) -> Json:
    """`data` with a result at a reference path; None leaves the data as they are."""
    if path is None:
        return data
    return _put(steps(path), data, result)


def _put(places: list[Any], data: Json, result: Json) -> Json:
    if not places:
        return result
    step, rest = places[0], places[1:]
    if isinstance(step, int):
        if not isinstance(data, list) or not 0 <= step < len(data):
            raise PathError(f"there is no element {step} to put the result in")
        return [*data[:step], _put(rest, data[step], result), *data[step + 1 :]]
    if not isinstance(data, Mapping | None):
        raise PathError(f"the result cannot be put at {step!r} of something that is not an object")
    members = data or {}
    return {**members, step: _put(rest, members.get(step), result)}


def fill(template: Json, data: Json, context: Json) -> Json:
    """A payload template with each `name.$` evaluated. PathError for a path that finds nothing."""
    if isinstance(template, list):
        return [fill(item, data, context) for item in template]
    if not isinstance(template, Mapping):
        return template
    filled = {}
    for name, value in template.items():
        if not name.endswith(".$"):
            filled[name] = fill(value, data, context)
            continue
        try:
            filled[name[:-2]] = evaluate(value, data, context)
        except PathError as error:
            told = str(error).replace("' could not", f"' specified for the field '{name}' could not")
            raise PathError(told) from None
    return filled


def evaluate(expression: str, data: Json, context: Json) -> Json:
    """A path or a call of an intrinsic function."""
    if expression.startswith("$"):
        return select(expression, data, context)
    return intrinsics.call(expression, lambda path: select(path, data, context))


def check_template(template: Json) -> None:
    """ValueError for the first expression in a template that cannot be evaluated."""
    if isinstance(template, list):
        for item in template:
            check_template(item)
    elif isinstance(template, Mapping):
        for name, value in template.items():
            if name.endswith(".$"):
                check_expression(value)
            else:
                check_template(value)


def check_expression(expression: Json) -> None:
    """ValueError unless it is a path or a call of a known intrinsic function."""
    if not isinstance(expression, str):
        raise ValueError(f"{expression!r} must be a path or an intrinsic function")
    if expression.startswith("$"):
        steps(expression.removeprefix("$") if expression.startswith("$$") else expression)
    else:
        intrinsics.check(expression)


def compact(value: Json) -> str:
    """JSON without blanks, as Step Functions passes it on."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
