"""What a container's log says of its end.

Our containers log JSON, a line each; the line of an exit has `exit_code`, and its message is one sentence.
Other images log as they like: there the last lines must do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

LAST_LINES = 12
_LONGEST_LINE = 300


@dataclass(frozen=True)
class LastWords:
    """The last lines, oldest first; why the container ended the last time; how often it did so."""

    lines: tuple[str, ...] = ()
    sentence: str | None = None
    ends: int = 0

    @property
    def told(self) -> str:
        """In one line, for a stack's event."""
        if self.sentence is not None:
            times = f" ({self.ends} times)" if self.ends > 1 else ""
            return f"the container ended{times}: {self.sentence}"
        if self.lines:
            return f"the container's log ends: {' | '.join(self.lines[-4:])}"
        return "the container has no log"


def last_words(log: Sequence[str]) -> LastWords:
    """Read the lines of a log, oldest first."""
    lines = [line.strip() for line in log if line.strip()]
    ends = [sentence for line in lines if (sentence := _sentence_of_exit(line)) is not None]
    return LastWords(
        lines=tuple(_shortened(line) for line in lines[-LAST_LINES:]),
        sentence=ends[-1] if ends else None,
        ends=ends.count(ends[-1]) if ends else 0,
    )


def _sentence_of_exit(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if isinstance(entry, dict) and "exit_code" in entry and "message" in entry:
        return str(entry["message"])
    return None


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
