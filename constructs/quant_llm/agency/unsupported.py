"""What an agency file can say and the stack can't do yet: refused with its line, never ignored.

A feature that gets built loses its row here, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from quant_llm.agency.config import AgencyConfig
from quant_llm.agency.problems import Location, Problem

_EACH: Final = -1
"""Stands for every position of a list."""


@dataclass(frozen=True)
class _NotYet:
    """A field, the values of it that can't be had yet (None: any), and what to do meanwhile."""

    location: Location
    values: tuple[str | int, ...] | None
    meanwhile: str


_NOT_YET = (
    _NotYet(
        ("models", _EACH, "engine"),
        ("vllm",),
        "use llama.cpp with a GGUF of the model, or exllamav2 with its GPTQ or EXL2",
    ),
    _NotYet(("models", _EACH, "scaling", "min"), (0,), "use 1 or more"),
    _NotYet(("models", _EACH, "scaling", "idle_minutes"), None, "leave it out"),
    _NotYet(("models", _EACH, "scaling", "schedule", _EACH, "min"), (0,), "use 1 or more"),
)


def unsupported(config: AgencyConfig) -> list[Problem]:
    """What the file asks for and the stack can't do yet, in the order of the table."""
    data = config.model_dump(mode="json", exclude_none=True)
    return [config.problem(location, message) for location, message in not_supported_yet(data)]


def not_supported_yet(data: Any) -> Iterator[tuple[Location, str]]:
    """Locations and messages over the plain data of a file, which may be wrong in other places."""
    for row in _NOT_YET:
        for location, value in _matches(data, row.location, ()):
            if row.values is None:
                yield location, f"not supported yet: {row.meanwhile}"
            elif value in row.values and not isinstance(value, bool):
                yield location, f"{value!r} is not supported yet: {row.meanwhile}"


def _matches(data: Any, pattern: Location, at: Location) -> Iterator[tuple[Location, Any]]:
    if not pattern:
        yield at, data
    elif pattern[0] == _EACH and isinstance(data, list):
        for index, item in enumerate(data):
            yield from _matches(item, pattern[1:], (*at, index))
    elif isinstance(data, dict) and pattern[0] in data:
        yield from _matches(data[pattern[0]], pattern[1:], (*at, pattern[0]))
