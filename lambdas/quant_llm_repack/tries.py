"""Tries at one thing in a row: how often, and how long to wait in between."""

from __future__ import annotations

from collections.abc import Callable

from quant_llm_lambda.log import log
from quant_llm_lambda.retry import full_jitter
from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import HubUnavailableError

MAX_TRIES = 6  # with full jitter 15.5 s of waiting at most, unless the hub asks for more


class TransientProblem(Exception):
    """Something that may be well at the next try, which should wait at least `wait_seconds`."""

    def __init__(self, problem: str, *, wait_seconds: float = 0.0) -> None:
        """Say what happened."""
        super().__init__(problem)
        self.wait_seconds = wait_seconds


class Tries:
    """Counts the failures of `what`; `succeeded` begins a new row."""

    def __init__(self, what: str, *, deadline: Deadline, sleep: Callable[[float], None]) -> None:
        """Begin a row of tries at `what`, which the messages name."""
        self._what = what
        self._deadline = deadline
        self._sleep = sleep
        self._failures = 0

    def succeeded(self) -> None:
        """Forget the failures so far."""
        self._failures = 0

    def failed(self, problem: TransientProblem) -> None:
        """Wait for the next try; HubUnavailableError after the last, or when the deadline comes before."""
        self._failures += 1
        log("repack.try_failed", what=self._what, problem=str(problem), tries=self._failures)
        if self._failures == MAX_TRIES:
            raise HubUnavailableError(
                f"{self._what}: failed {MAX_TRIES} times in a row, the last with: {problem}"
            )
        wait = problem.wait_seconds + full_jitter(self._failures)
        if wait >= self._deadline.left():
            raise HubUnavailableError(
                f"{self._what}: no time is left to wait {wait:.0f} s for another try after: {problem}"
            )
        self._sleep(wait)
