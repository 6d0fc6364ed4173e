"""How a state, an execution or a definition fails."""

from __future__ import annotations

from moto.core.exceptions import AWSError

# "Handling errors in Step Functions workflows": these end the execution whatever a state would catch.
_NEVER_CAUGHT = frozenset({"States.Runtime", "States.DataLimitExceeded"})


class StateError(Exception):
    """A state failed, with the error name and cause that Retry, Catch and DescribeExecution see."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause

    def matches(self, names: list[str]) -> bool:
        """Whether `ErrorEquals` means this error."""
        if self.error in _NEVER_CAUGHT:
            return False
        if "States.TaskFailed" in names and self.error != "States.Timeout":
            return True
        return self.error in names or "States.ALL" in names


class PathError(Exception):
    """A path or an intrinsic function that the data does not allow; the message says which and why."""


class Halted(Exception):
    """What runs here is not wanted any more: the execution has ended, or the map that it belongs to."""


class InvalidDefinition(AWSError):
    """What CreateStateMachine answers to a definition that is wrong, or that the embedded AWS cannot run."""

    TYPE = "InvalidDefinition"

    def __init__(self, problem: str) -> None:
        super().__init__(f"Invalid State Machine Definition: '{problem}'")


class StateMachineAlreadyExists(AWSError):
    """What CreateStateMachine answers if another machine has the name."""

    TYPE = "StateMachineAlreadyExists"
