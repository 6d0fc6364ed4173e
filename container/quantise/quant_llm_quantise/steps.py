"""A job as the commands that it runs: one after the other, each with what it must have written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """A tool's command line. `writes` must be there and not be empty when it has ended.

    `perplexity` is the key under which the number that `reads` finds in its output is reported.
    """

    name: str
    command: tuple[str, ...]
    writes: Path | None = None
    perplexity: str | None = None
    reads: re.Pattern[str] | None = None
