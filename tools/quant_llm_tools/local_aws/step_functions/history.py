"""What happened in an execution, as GetExecutionHistory tells it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from quant_llm_tools.local_aws.step_functions.errors import Halted, StateError

Json = Any
# "Step Functions service quotas": a standard execution ends when it has so many events.
LONGEST = 25_000


class History:
    """The events of one execution, written by all its threads."""

    def __init__(self) -> None:
        self._events: list[dict[str, Json]] = []
        self._lock = threading.Lock()
        self._closed = False

    def add(self, kind: str, previous: int, details: Mapping[str, Json] | None = None) -> int:
        """Note an event and return its id; Halted once the execution has ended."""
        with self._lock:
            if self._closed:
                raise Halted
            if len(self._events) >= LONGEST - 1:
                cause = f"The execution reached the maximum number of history events ({LONGEST})."
                raise StateError("States.Runtime", cause)
            return self._append(kind, previous, details)

    def close(self, kind: str, details: Mapping[str, Json] | None = None) -> None:
        """Note the last event: nothing that still runs can add to it."""
        with self._lock:
            self._append(kind, len(self._events), details)
            self._closed = True

    def events(self) -> list[dict[str, Json]]:
        """All events so far."""
        with self._lock:
            return list(self._events)

    def _append(self, kind: str, previous: int, details: Mapping[str, Json] | None) -> int:
        event: dict[str, Json] = {
            "timestamp": datetime.now(UTC),
            "type": kind,
            "id": len(self._events) + 1,
            "previousEventId": previous,
        }
        if details is not None:
            event[_details_name(kind)] = dict(details)
        self._events.append(event)
        return int(event["id"])


def _details_name(kind: str) -> str:
    for shared in ("StateEntered", "StateExited"):
        if kind.endswith(shared):
            kind = shared
    return f"{kind[0].lower()}{kind[1:]}EventDetails"
