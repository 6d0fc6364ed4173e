"""Values of data that may be wrong elsewhere, and what a check of them finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from quant_llm.agency.problems import Location

_T = TypeVar("_T")


@dataclass(frozen=True)
class Relation:
    """A value that doesn't fit the others, and what would. `got` is what to show in its place."""

    location: Location
    expected: str
    nearest: str | None = None
    got: str | None = None


def get(data: Any, kind: type[_T], *location: str | int) -> _T | None:
    """The value there, if it is there and of this kind; booleans are no numbers."""
    for part in location:
        if not (isinstance(data, dict) and part in data):
            return None
        data = data[part]
    return data if isinstance(data, kind) and not isinstance(data, bool) else None
