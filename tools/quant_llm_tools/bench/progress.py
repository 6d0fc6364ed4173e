"""What a run says on the way, on stderr: a line that moves on a terminal, and a line a step anywhere else."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from quant_llm_tools.bench.results import Point


class Progress(Protocol):
    """Hears what a run does."""

    def step(self, text: str, of: int | None = None) -> None:
        """A new step begins, of so many requests if that is known."""
        ...

    def request(self) -> None:
        """A request of this step has ended."""
        ...

    def finished(self, text: str) -> None:
        """The step is over; `text` says what came out."""
        ...


class Silent:
    """Says nothing."""

    def step(self, text: str, of: int | None = None) -> None:
        """Say nothing."""

    def request(self) -> None:
        """Say nothing."""

    def finished(self, text: str) -> None:
        """Say nothing."""


class Terminal:
    """Writes to a stream, stderr by default."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._moves = self._out.isatty()
        self._text = ""
        self._of: int | None = None
        self._requests = 0

    def step(self, text: str, of: int | None = None) -> None:
        """Begin a line."""
        self._text, self._of, self._requests = text, of, 0
        self._show()

    def request(self) -> None:
        """Count on."""
        self._requests += 1
        self._show()

    def finished(self, text: str) -> None:
        """End the line."""
        clear = "\r\x1b[K" if self._moves else ""
        print(f"{clear}{self._text}: {text}", file=self._out, flush=True)

    def _show(self) -> None:
        if self._moves:
            of = f" of {self._of}" if self._of else ""
            print(f"\r\x1b[K{self._text}: {self._requests}{of}", end="", file=self._out, flush=True)


def told(point: Point) -> str:
    """A point in a few words."""
    summary = point.summary
    parts = [f"{summary.requests} requests"]
    if summary.tokens_per_s is not None and summary.tokens_per_s_stream is not None:
        parts.append(f"{summary.tokens_per_s:.1f} tokens/s, {summary.tokens_per_s_stream:.1f} a stream")
    if summary.first_token_ms is not None:
        parts.append(f"first token {summary.first_token_ms.p50:.0f} ms (p50)")
    if summary.error_count:
        parts.append(f"{summary.error_count} errors")
    if not point.complete:
        parts.append("interrupted")
    return ", ".join(parts)
