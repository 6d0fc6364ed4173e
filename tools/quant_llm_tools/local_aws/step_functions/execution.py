"""One execution: runs in the background, and ends once, however that comes."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from quant_llm_tools.local_aws.step_functions.errors import Halted, StateError
from quant_llm_tools.local_aws.step_functions.frame import Frame
from quant_llm_tools.local_aws.step_functions.halt import Halt
from quant_llm_tools.local_aws.step_functions.history import History
from quant_llm_tools.local_aws.step_functions.interpreter import Interpreter, Spawn
from quant_llm_tools.local_aws.step_functions.paths import compact

Json = Any
_log = logging.getLogger(__name__)

# "EventBridge payloads" of Step Functions: bytes of input and output together, escaped.
_LARGEST_EVENT = 248 * 1024


class Execution:
    """An execution with the attributes that moto's API shows; dates are in UTC, data are JSON texts."""

    def __init__(
        self,
        arn: str,
        state_machine_arn: str,
        name: str,
        given: str,
        role_arn: str,
        machine: Mapping[str, Json],
        announce: Callable[[Execution], None],
    ) -> None:
        self.execution_arn = arn
        self.state_machine_arn = state_machine_arn
        self.name = name
        self.execution_input = given
        self.status = "RUNNING"
        self.start_date = datetime.now(UTC)
        self.stop_date: datetime | None = None
        self.output: str | None = None
        self.error: str | None = None
        self.cause: str | None = None
        self.history = History()
        self._role_arn = role_arn
        self._machine = machine
        self._announce = announce
        self._halt = Halt()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def start(self, interpreter: Interpreter, spawn: Spawn) -> None:
        """Run in the background, and no longer than the machine may."""
        started = {"input": self.execution_input, "roleArn": self._role_arn}
        previous = self.history.add("ExecutionStarted", 0, started)
        self._announce(self)
        spawn(f"execution {self.name}", lambda: self._run(interpreter, previous))
        if "TimeoutSeconds" in self._machine:
            spawn(f"time limit of execution {self.name}", self._limit)

    def describe(self) -> dict[str, Json]:
        """What DescribeExecution answers."""
        with self._lock:
            known = {
                "executionArn": self.execution_arn,
                "stateMachineArn": self.state_machine_arn,
                "name": self.name,
                "status": self.status,
                "startDate": self.start_date,
                "stopDate": self.stop_date,
                "input": self.execution_input,
                "inputDetails": {"included": True},
                "output": self.output,
                "outputDetails": {"included": True} if self.output is not None else None,
                "error": self.error,
                "cause": self.cause,
            }
        return {name: value for name, value in known.items() if value is not None}

    def event_detail(self) -> dict[str, Json]:
        """What EventBridge is told: the same, dates in ms, and without the input when that is too large."""
        detail: dict[str, Json] = {"stopDate": None, "output": None, "outputDetails": None, **self.describe()}
        for name in ("startDate", "stopDate"):
            if detail[name] is not None:
                detail[name] = int(detail[name].timestamp() * 1000)
        kept = _LARGEST_EVENT
        for name in ("output", "input"):
            kept -= len(json.dumps(detail[name]))
            if kept < 0:
                detail |= {name: None, f"{name}Details": {"included": False}}
        return detail

    def abort(self, error: str | None = None, cause: str | None = None) -> None:
        """End it, as StopExecution does; functions that run go on to their own end. No effect afterwards."""
        self._end("ABORTED", error=error, cause=cause)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False if it still runs after that time."""
        return self._ended.wait(seconds)

    def _run(self, interpreter: Interpreter, previous: int) -> None:
        given = json.loads(self.execution_input)
        context = {
            "Execution": {
                "Id": self.execution_arn,
                "Input": given,
                "Name": self.name,
                "RoleArn": self._role_arn,
                "StartTime": f"{self.start_date:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            },
            "StateMachine": {"Id": self.state_machine_arn, "Name": self.state_machine_arn.split(":")[6]},
        }
        try:
            output = interpreter.run(self._machine, given, Frame(context, self._halt, self.history, previous))
        except Halted:
            return
        except StateError as failure:
            self._end("FAILED", error=failure.error, cause=failure.cause)
        except Exception as error:
            _log.exception("execution %s", self.execution_arn)
            cause = f"the embedded AWS failed to run the state machine: {error!r}"
            self._end("FAILED", error="States.Runtime", cause=cause)
        else:
            self._end("SUCCEEDED", output=compact(output))

    def _limit(self) -> None:
        if not self.wait(self._machine["TimeoutSeconds"]):
            self._end("TIMED_OUT")

    def _end(
        self, status: str, *, output: str | None = None, error: str | None = None, cause: str | None = None
    ) -> None:
        with self._lock:
            if self._ended.is_set():
                return
            self.status, self.stop_date = status, datetime.now(UTC)
            self.output, self.error, self.cause = output, error, cause
            details = {"output": output, "error": error, "cause": cause}
            told = {name: value for name, value in details.items() if value is not None}
            self.history.close(f"Execution{_EVENTS[status]}", told)
            self._ended.set()
        self._halt.set()
        self._announce(self)


_EVENTS = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "ABORTED": "Aborted", "TIMED_OUT": "TimedOut"}
