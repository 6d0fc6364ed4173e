"""What EventBridge is told of an execution."""

from __future__ import annotations

import time
from typing import Any

import pytest

from quant_llm_tools.local_aws.step_functions.execution import Execution
from tests.unit.local_aws.state_machine import EXECUTION, MACHINE, machine, start, task

Json = Any

WAIT = machine(Only={"Type": "Wait", "Seconds": 60, "End": True})


class Told:
    """Keeps the detail of each event."""

    def __init__(self) -> None:
        self.details: list[Json] = []

    def __call__(self, execution: Execution) -> None:
        self.details.append(execution.event_detail())

    def statuses(self) -> list[str]:
        return [detail["status"] for detail in self.details]

    def wait_for_end(self) -> Json:
        deadline = time.monotonic() + 5
        while len(self.details) < 2:
            assert time.monotonic() < deadline, self.details
            time.sleep(0.01)
        return self.details[-1]


def test_start_and_end_are_told_once_each() -> None:
    told = Told()
    execution = start(WAIT, announce=told)
    execution.abort("Mine", "no more")
    execution.abort("Again")
    assert told.statuses() == ["RUNNING", "ABORTED"]
    running, aborted = told.details
    assert running.items() >= {"stopDate": None, "output": None, "outputDetails": None}.items()
    assert execution.stop_date is not None
    assert aborted == {
        "executionArn": EXECUTION,
        "stateMachineArn": MACHINE,
        "name": "one",
        "status": "ABORTED",
        "startDate": int(execution.start_date.timestamp() * 1000),
        "stopDate": int(execution.stop_date.timestamp() * 1000),
        "input": "{}",
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "error": "Mine",
        "cause": "no more",
    }


def test_time_that_is_over_is_told() -> None:
    told = Told()
    start(WAIT | {"TimeoutSeconds": 1}, announce=told)
    assert told.wait_for_end()["status"] == "TIMED_OUT"


@pytest.mark.parametrize(
    ("given", "answered", "included"),
    [(100_000, 100_000, (True, True)), (130_000, 130_000, (False, True)), (10, 260_000, (False, False))],
)
def test_what_is_too_large_for_an_event_is_left_out(
    given: int, answered: int, included: tuple[bool, bool]
) -> None:
    told = Told()
    states = machine(Only=task(ResultSelector={"value.$": "$.Payload"}))
    start(states, {"text": "x" * given}, lambda payload: "y" * answered, told)
    detail = told.wait_for_end()
    assert detail["status"] == "SUCCEEDED"
    assert (detail["inputDetails"]["included"], detail["outputDetails"]["included"]) == included
    assert (detail["input"] is not None, detail["output"] is not None) == included
