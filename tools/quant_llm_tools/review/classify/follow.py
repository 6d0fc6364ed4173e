"""Differences that follow from a change that the review has told of already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.words import text_of

MACHINERY: Final = ("AWS::CloudFormation::WaitCondition", "AWS::CloudFormation::WaitConditionHandle")
"""How a stack waits for a build or a download: it comes and goes with what is waited for."""

_PLACE: Final = 2
"""Keys that name a list of endpoints: `Variables.ENDPOINTS` of a function, `detail.EndpointName`."""

_DASHBOARD: Final = "AWS::CloudWatch::Dashboard"


def follows_from_told(comparison: Comparison, logical_id: str, name: str) -> bool:
    """Whether a property differs only in what it waits by, or in entries for endpoints that were told of.

    Such as the list of endpoints that a function watches, where one of them comes, goes or rolls.
    """
    before = comparison.before.properties(logical_id).get(name)
    after = comparison.after.properties(logical_id).get(name)
    if _is_handle(before, comparison.before) and _is_handle(after, comparison.after):
        return True
    if comparison.after.resources[logical_id]["Type"] == _DASHBOARD:
        return comparison.before.endpoints.keys() != comparison.after.endpoints.keys()
    old, new = set(_entries(before, comparison.before)), set(_entries(after, comparison.after))
    if {entry[:_PLACE] for entry in old} != {entry[:_PLACE] for entry in new}:
        return False  # not an entry more in a list that was there, but another list
    if comparison.told & _still_there(comparison) & _parts(old) - _parts(new):
        return False  # an endpoint that stays is in the list no more
    return bool(old ^ new) and all(comparison.told & set(entry) for entry in old ^ new)


def _still_there(comparison: Comparison) -> set[str]:
    """The names of the endpoints of both sides."""
    models = comparison.before.endpoints.keys() & comparison.after.endpoints.keys()
    return {f"{comparison.agency}-{model}" for model in models}


def _parts(entries: set[tuple[str, ...]]) -> set[str]:
    return {part for entry in entries for part in entry}


def _is_handle(value: Any, side: StackSide) -> bool:
    if not isinstance(value, Mapping) or value.keys() != {"Ref"}:
        return False
    return side.resources.get(str(value["Ref"]), {}).get("Type") in MACHINERY


def _entries(value: Any, side: StackSide, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The leaves with the keys on the way to them; places in lists don't count, and JSON text is read."""
    if isinstance(value, str):
        value = _json(value)
    if isinstance(value, Mapping) and not any(key.startswith(("Fn::", "Ref")) for key in value):
        for key, item in value.items():
            yield from _entries(item, side, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from _entries(item, side, path)
    else:
        yield (*path, text_of(value, side))


def _json(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict | list) else text
