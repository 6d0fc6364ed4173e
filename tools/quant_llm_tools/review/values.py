"""Values of a change as lines of text: only what differs, short, and without characters that nobody sees."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

LONGEST_VALUE: Final = 160
LONGEST_SENTENCE: Final = 600
MOST_DIFFERENCES: Final = 12
MOST_LINES: Final = 2_000
"""Lines of a text that are compared one by one; more take too long."""


@dataclass(frozen=True)
class Difference:
    """One difference: where in the value it is ("" for the whole), and both sides as text, None if absent."""

    place: str
    before: str | None
    after: str | None


def visible(text: str) -> str:
    """The text on one line; control, direction and zero-width characters are written as escapes."""
    return "".join(
        character if character.isprintable() else " " if character in "\n\t" else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str, most: int = LONGEST_VALUE) -> str:
    """The text with its middle left out when it is longer than `most` characters: both ends tell most."""
    if len(text) <= most:
        return text
    left_out = f" …{len(text) - most} more… "
    kept = max(2, most - len(left_out))
    return text[: kept - kept // 2] + left_out + text[-(kept // 2) :]


def differences(before: Any, after: Any) -> list[Difference]:
    """What differs between two plain JSON values, at most MOST_DIFFERENCES of it and a count of the rest."""
    found = list(_differences(before, after, ""))
    if len(found) <= MOST_DIFFERENCES:
        return found
    more = Difference(f"… and {len(found) - MOST_DIFFERENCES + 1} more", None, None)
    return [*found[: MOST_DIFFERENCES - 1], more]


def _differences(before: Any, after: Any, place: str) -> Iterator[Difference]:
    if before == after:
        return
    empty = _empty_like(before if after is None else after)
    before, after = (empty if side is None else side for side in (before, after))
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))
    elif _lines(before) is not None and _lines(after) is not None:
        yield from _line_differences(_lines(before) or [], _lines(after) or [], place)
    else:
        yield Difference(place, _text(before), _text(after))


def _empty_like(value: Any) -> Any:
    """What stands for a mapping or list that isn't there: what it holds is then told piece by piece."""
    return type(value)() if isinstance(value, dict | list) else None


def _lines(value: Any) -> list[str] | None:
    """Lists and texts of several lines are compared item by item; nothing else is."""
    if isinstance(value, list):
        return [_text(item) or "" for item in value]
    return value.splitlines() if isinstance(value, str) and "\n" in value else None


def _line_differences(before: list[str], after: list[str], place: str) -> Iterator[Difference]:
    if max(len(before), len(after)) > MOST_LINES:
        yield Difference(place, f"{len(before)} lines", f"{len(after)} lines, other ones")
        return
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=len(before) > 200)
    for _, left, left_end, right, right_end in matcher.get_opcodes():
        removed, added = before[left:left_end], after[right:right_end]
        if removed == added:
            continue
        if len(removed) == len(added):
            yield from (Difference(place, *pair) for pair in zip(removed, added, strict=True))
        else:
            yield from (Difference(place, line, None) for line in removed)
            yield from (Difference(place, None, line) for line in added)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return shortened(visible(text))
