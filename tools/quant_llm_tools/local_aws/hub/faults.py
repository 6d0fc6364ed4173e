"""Faults on demand: answers that fail, hang, break off, or carry a wrong byte.

Each fault is for the requests whose path (without the query) matches a glob pattern, `times` times (None: for
ever). `*` matches slashes as well: `*/resolve/*` is every resolve, `/cdn/*` every body that the CDN serves,
`*.gguf` both for all GGUF files. Where several match, the oldest comes first, one a request.
"""

from __future__ import annotations

import contextlib
import fnmatch
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias


@dataclass(frozen=True)
class Fail:
    """Answers `status`; 429 and 503 also say how many seconds to wait."""

    status: HTTPStatus
    retry_after: int

    def concerns(self, start: int, end: int) -> bool:
        """Any request."""
        return True


@dataclass(frozen=True)
class Stall:
    """Sends `after` bytes of the body, then nothing for `seconds`, then the rest."""

    seconds: float
    after: int

    def concerns(self, start: int, end: int) -> bool:
        """A body that is longer."""
        return end - start > self.after


@dataclass(frozen=True)
class Truncate:
    """Closes the connection after `after` bytes of the body."""

    after: int

    def concerns(self, start: int, end: int) -> bool:
        """A body that is longer."""
        return end - start > self.after


@dataclass(frozen=True)
class WrongByte:
    """Inverts the byte at `offset` of the file, whatever range is asked for."""

    offset: int

    def concerns(self, start: int, end: int) -> bool:
        """A body with that byte."""
        return start <= self.offset < end


Fault: TypeAlias = Fail | Stall | Truncate | WrongByte


@dataclass
class _Armed:
    pattern: str
    fault: Fault
    left: int | None


class Faults:
    """The faults of one server, safe to change while it serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def fail(self, path: str, *, status: int = 503, times: int | None = 1, retry_after: int = 1) -> None:
        """Answer with an HTTP status."""
        self._add(path, Fail(HTTPStatus(status), retry_after), times)

    @contextlib.contextmanager
    def failing(self, path: str, *, status: int = 503, times: int | None = None) -> Iterator[None]:
        """As `fail`, but only inside a `with` block."""
        armed = self._add(path, Fail(HTTPStatus(status), retry_after=1), times)
        try:
            yield
        finally:
            with self._lock:
                self._armed = [each for each in self._armed if each is not armed]

    def stall(self, path: str, *, seconds: float, after: int = 0, times: int | None = 1) -> None:
        """Let a body hang."""
        self._add(path, Stall(seconds, after), times)

    def truncate(self, path: str, *, after: int, times: int | None = 1) -> None:
        """Break a body off."""
        self._add(path, Truncate(after), times)

    def wrong_byte(self, path: str, *, offset: int, times: int | None = None) -> None:
        """Serve one wrong byte; for ever by default, as a damaged file would."""
        self._add(path, WrongByte(offset), times)

    def add(self, document: dict[str, object]) -> None:
        """Arm a fault given as JSON: its name as `fault`, and the arguments of the method of that name.

        ValueError when the name or an argument is not known.
        """
        arguments = dict(document)
        kinds = {
            "fail": self.fail,
            "stall": self.stall,
            "truncate": self.truncate,
            "wrong_byte": self.wrong_byte,
        }
        kind = arguments.pop("fault", None)
        if kind not in kinds:
            raise ValueError(f"'fault' must be one of {', '.join(kinds)}, got {kind!r}")
        try:
            kinds[str(kind)](**arguments)  # type: ignore[operator]  # the method checks its arguments
        except TypeError as error:
            raise ValueError(str(error)) from None

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._armed.clear()

    def take(self, path: str, start: int, end: int) -> Fault | None:
        """The fault for an answer with the bytes from `start` to `end` of a file, counted as used."""
        with self._lock:
            for armed in self._armed:
                if fnmatch.fnmatchcase(path, armed.pattern) and armed.fault.concerns(start, end):
                    armed.left = None if armed.left is None else armed.left - 1
                    if armed.left == 0:
                        self._armed.remove(armed)
                    return armed.fault
            return None

    def _add(self, path: str, fault: Fault, times: int | None) -> _Armed:
        if times is not None and times < 1:
            raise ValueError(f"'times' must be at least 1, or None for ever, got {times}")
        armed = _Armed(path, fault, times)
        with self._lock:
            self._armed.append(armed)
        return armed
