"""The intrinsic functions of the Amazon States Language that templates use most."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from quant_llm_tools.local_aws.step_functions.errors import PathError

Json = Any
_PATH = re.compile(r"\$(?:\$)?(?:\.[\w*-]+|\[[^\]]*\])*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'")
_CALL = re.compile(r"(States\.\w+)\(")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST_RANGE = 1000


def check(expression: str) -> None:
    """ValueError unless the expression is a call of known functions."""
    _parsed(expression)


def call(expression: str, select: Callable[[str], Json]) -> Json:
    """The value of a call; `select` gives the value of a path. PathError if an argument does not fit."""
    return _value(_parsed(expression), select)


def _parsed(expression: str) -> tuple[str, Json]:
    node, rest = _argument(expression)
    if rest or node[0] not in _FUNCTIONS:
        raise ValueError(f"{expression!r} is not an intrinsic function that the embedded AWS knows")
    return node


def _argument(text: str) -> tuple[tuple[str, Json], str]:
    text = text.lstrip()
    if match := _CALL.match(text):
        name, rest, arguments = match[1], text[match.end() :].lstrip(), []
        if name not in _FUNCTIONS:
            raise ValueError(f"the embedded AWS does not know the intrinsic function {name}")
        while not rest.startswith(")"):
            argument, rest = _argument(rest)
            arguments.append(argument)
            rest = rest.lstrip()
            if not rest.startswith((",", ")")):
                raise ValueError(f"{text!r} lacks a closing parenthesis")
            rest = rest.removeprefix(",").lstrip()
        return (name, arguments), rest[1:]
    if match := _TEXT.match(text):
        return ("text", re.sub(r"\\([^{}])", r"\1", match[1])), text[match.end() :]
    if match := _PATH.match(text):
        return ("path", match[0]), text[match.end() :]
    if match := _NUMBER.match(text):
        return ("value", json.loads(match[0])), text[match.end() :]
    for word, value in _WORDS.items():
        if text.startswith(word):
            return ("value", value), text[len(word) :]
    raise ValueError(f"{text!r} is not an argument of an intrinsic function")


def _value(node: tuple[str, Json], select: Callable[[str], Json]) -> Json:
    kind, content = node
    if kind == "path":
        return select(content)
    if kind not in _FUNCTIONS:
        return re.sub(r"\\([{}])", r"\1", content) if kind == "text" else content
    # The first argument of Format needs its escapes still.
    raw = [entry[1] if entry[0] == "text" and kind == "States.Format" else None for entry in content]
    values = [
        text if text is not None else _value(entry, select) for text, entry in zip(raw, content, strict=True)
    ]
    try:
        return _FUNCTIONS[kind](*values)
    except (TypeError, ValueError, IndexError) as error:
        raise PathError(f"Invalid arguments in {kind}: {error}") from error


def _format(template: str, *values: Json) -> str:
    pieces = re.split(r"(?<!\\)\{\}", template)
    if len(pieces) != len(values) + 1:
        raise ValueError(f"{len(pieces) - 1} places for {len(values)} values")
    texts = [
        value if isinstance(value, str) else json.dumps(value, separators=(",", ":")) for value in values
    ]
    unescaped = [re.sub(r"\\([{}])", r"\1", piece) for piece in pieces]
    return "".join(piece + text for piece, text in zip(unescaped, [*texts, ""], strict=True))


def _range(first: int, last: int, step: int) -> list[int]:
    found = list(range(first, last + (1 if step > 0 else -1), step))
    if len(found) > _LONGEST_RANGE:
        raise ValueError(f"at most {_LONGEST_RANGE} items, got {len(found)}")
    return found


def _chunks(items: list[Json], size: int) -> list[list[Json]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


_FUNCTIONS: dict[str, Callable[..., Json]] = {
    "States.Array": lambda *values: list(values),
    "States.ArrayGetItem": lambda items, index: items[index],
    "States.ArrayLength": lambda items: len(items),
    "States.ArrayPartition": _chunks,
    "States.ArrayRange": _range,
    "States.Format": _format,
    "States.JsonToString": lambda value: json.dumps(value, separators=(",", ":")),
    "States.MathAdd": lambda first, second: first + second,
    "States.StringToJson": lambda text: json.loads(text),
    "States.UUID": lambda: str(uuid.uuid4()),
}
