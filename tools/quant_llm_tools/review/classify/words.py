"""Values of templates as text that a person can read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from quant_llm_tools.review.classify.comparison import StackSide

_PLACEHOLDER = re.compile(r"\$\{([^!][^}]*)\}")
_OF_DEPLOYMENT = {
    "AWS::AccountId": "<account>",
    "AWS::Partition": "<partition>",
    "AWS::Region": "<region>",
    "AWS::URLSuffix": "<suffix>",
}
_ASSET = re.compile(r"\b[0-9a-f]{64}\b(?=\.(?:zip|json)\b)")


def text_of(value: Any, side: StackSide) -> str:
    """A template's value in one line: references as `${construct path}`, functions as what they make.

    The hash in the name of an asset is left out: it says nothing that can be read.
    """
    return _ASSET.sub("<asset>", _text(value, side))


def _text(value: Any, side: StackSide) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref":
            return _reference(argument, side)
        if function == "Fn::GetAtt":
            parts = argument if isinstance(argument, list) else str(argument).split(".", 1)
            return _reference(parts[0], side, str(parts[1]))
        if function == "Fn::Join":
            return str(argument[0]).join(_text(part, side) for part in argument[1])
        if function == "Fn::Sub" and isinstance(argument, str):
            return _PLACEHOLDER.sub(lambda found: _reference(*_split(found[1], side)), argument)
        if function == "Fn::Select":
            return f"part {argument[0]} of {_text(argument[1], side)}"
        if function == "Fn::Split":
            return _text(argument[1], side)
    return json.dumps(value, sort_keys=True)


def _split(name: str, side: StackSide) -> tuple[str, StackSide, str]:
    logical_id, _, attribute = name.partition(".")
    return logical_id, side, attribute


def _reference(name: str, side: StackSide, attribute: str = "") -> str:
    if name.startswith("AWS::"):
        return _OF_DEPLOYMENT.get(name, name)
    path = side.paths.get(name, name)
    shown = path.removesuffix("/Default").removesuffix("/Resource").removesuffix("/Resource")
    # Of a thing, its ARN is what policies and the like mean by it.
    return f"${{{shown}{'' if attribute in ('', 'Arn') else '.' + attribute}}}"


def listed(items: Iterable[str], *, most: int = 6) -> str:
    """`a, b and c`; of many the first and how many more."""
    found = list(items)
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    return " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))


def count(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
