"""One line of states that runs: the execution's own, or that of one iteration of a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm_tools.local_aws.step_functions.errors import StateError
from quant_llm_tools.local_aws.step_functions.halt import Halt
from quant_llm_tools.local_aws.step_functions.history import History
from quant_llm_tools.local_aws.step_functions.paths import compact

Json = Any

# "Step Functions service quotas": bytes of the input or output of a state or task.
_LARGEST_DATA = 256 * 1024


class Frame:
    """Its context object, what ends it, and the event that its next one follows on."""

    def __init__(self, context: Mapping[str, Json], halt: Halt, history: History, previous: int = 0) -> None:
        self.context: dict[str, Json] = dict(context)
        self.halt = halt
        self.entered = 0
        self._history = history
        self._previous = previous

    def iteration(self, halt: Halt, index: int, item: Json) -> Frame:
        """The frame of one item of the map that this frame is in."""
        context = {**self.context, "Map": {"Item": {"Index": index, "Value": item}}}
        return Frame(context, halt, self._history, self._previous)

    @property
    def state_name(self) -> str:
        """The state that this frame is in."""
        return str(self.context["State"]["Name"])

    def note(self, kind: str, details: Mapping[str, Json] | None = None) -> int:
        """Note an event in the history, unless what runs here is not wanted any more."""
        self.halt.check()
        self._previous = self._history.add(kind, self._previous, details)
        return self._previous

    def check_size(self, value: Json) -> None:
        """StateError if a value is more than what states can hand on."""
        if len(compact(value).encode()) > _LARGEST_DATA:
            problem = "returned a result with a size exceeding the maximum number of bytes service limit."
            cause = f"The state/task '{self.state_name}' {problem}"
            raise StateError("States.DataLimitExceeded", cause)

    def runtime_error(self, problem: object) -> StateError:
        """The error of a state whose paths do not fit its data."""
        where = f"the state '{self.state_name}' (entered at the event id #{self.entered})"
        return StateError("States.Runtime", f"An error occurred while executing {where}. {problem}")
