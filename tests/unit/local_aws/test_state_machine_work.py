from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from quant_llm_tools.local_aws.step_functions import history
from quant_llm_tools.local_aws.step_functions.errors import Halted
from tests.unit.local_aws.state_machine import FUNCTION, Broken, machine, mapped, output, run, start, task

Json = Any

RETRY = {"ErrorEquals": ["Broken"], "IntervalSeconds": 1, "MaxAttempts": 2, "JitterStrategy": "FULL"}


class Failing:
    """A function that fails its first calls."""

    def __init__(self, times: int) -> None:
        self.calls = 0
        self._times = times

    def __call__(self, payload: Json) -> Json:
        self.calls += 1
        if self.calls <= self._times:
            raise Broken(f"call {self.calls}")
        return payload


def kinds(execution: Any) -> list[str]:
    return [event["type"] for event in execution.history.events()]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_function_is_called_by_its_arn_with_the_state_s_input() -> None:
    state = {"Type": "Task", "Resource": FUNCTION, "End": True}
    assert output(machine(Only=state), {"a": 1}, lambda payload: [payload]) == [{"a": 1}]


def test_the_invoke_integration_wraps_what_the_function_returns() -> None:
    state = task()
    del state["ResultSelector"], state["OutputPath"]
    answer = output(machine(Only=state), {"a": 1})
    assert (answer["Payload"], answer["StatusCode"]) == ({"a": 1}, 200)


def test_an_error_of_a_function_is_the_execution_s_error_and_cause() -> None:
    execution = run(machine(Only=task()), {}, Failing(1))
    assert (execution.status, execution.error) == ("FAILED", "Broken")
    assert json.loads(str(execution.cause)) == {"errorMessage": "call 1", "errorType": "Broken"}
    assert kinds(execution) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskFailed",
        "ExecutionFailed",
    ]


@pytest.mark.parametrize(("failures", "status", "calls"), [(2, "SUCCEEDED", 3), (3, "FAILED", 3)])
def test_retry_tries_as_often_as_it_may(failures: int, status: str, calls: int) -> None:
    function = Failing(failures)
    assert run(machine(Only=task(Retry=[RETRY])), {}, function).status == status
    assert function.calls == calls


def test_retry_of_other_errors_does_not_apply() -> None:
    function = Failing(1)
    assert (
        run(machine(Only=task(Retry=[{**RETRY, "ErrorEquals": ["Other"]}])), {}, function).error == "Broken"
    )
    assert function.calls == 1


def test_retry_waits_no_longer_than_it_may() -> None:
    growth = {"IntervalSeconds": 1, "BackoffRate": 90, "MaxDelaySeconds": 1}
    retry = {"ErrorEquals": ["States.ALL"], "MaxAttempts": 2, **growth}
    started = time.monotonic()
    assert run(machine(Only=task(Retry=[retry])), {}, Failing(2)).status == "SUCCEEDED"
    assert 0.2 < time.monotonic() - started < 8  # the second wait of all of 90 seconds would take 9


def test_catch_puts_the_error_beside_the_input_and_goes_on() -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.problem", "Next": "After"}]
    states = machine(Only=task(Catch=catch), After={"Type": "Succeed"})
    answer = output(states, {"a": 1}, Failing(1))
    assert answer["a"] == 1
    assert answer["problem"]["Error"] == "Broken"
    assert json.loads(answer["problem"]["Cause"])["errorMessage"] == "call 1"


def test_a_task_s_time_limit_is_an_error_that_can_be_caught() -> None:
    catch = [{"ErrorEquals": ["States.Timeout"], "ResultPath": "$.problem", "Next": "After"}]
    slow = machine(Only=task(TimeoutSeconds=1, Catch=catch), After={"Type": "Succeed"})
    released = threading.Event()
    assert output(slow, {}, lambda payload: released.wait(5))["problem"]["Error"] == "States.Timeout"
    released.set()


def test_task_failed_does_not_mean_timeouts() -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "Next": "After"}]
    slow = machine(Only=task(TimeoutSeconds=1, Catch=catch), After={"Type": "Succeed"})
    released = threading.Event()
    assert run(slow, {}, lambda payload: released.wait(5)).error == "States.Timeout"
    released.set()


def test_the_machine_s_time_limit_ends_the_execution() -> None:
    released = threading.Event()
    states = {**machine(Only=task()), "TimeoutSeconds": 1}
    execution = run(states, {}, lambda payload: released.wait(5))
    released.set()
    assert execution.status == "TIMED_OUT"
    assert kinds(execution)[-1] == "ExecutionTimedOut"


def test_map_keeps_the_order_of_its_items() -> None:
    def later(payload: Json) -> Json:
        time.sleep(0.02 * (5 - payload))
        return payload * 10

    assert output(machine(All=mapped(task())), {"items": [0, 1, 2, 3, 4]}, later) == [0, 10, 20, 30, 40]


def test_map_selects_from_its_input_and_the_item() -> None:
    selector = {"n.$": "$$.Map.Item.Value", "at.$": "$$.Map.Item.Index", "bucket.$": "$.bucket"}
    answer = output(machine(All=mapped(task(), ItemSelector=selector)), {"items": ["a"], "bucket": "b"})
    assert answer == [{"n": "a", "at": 0, "bucket": "b"}]


@pytest.mark.parametrize(
    ("limit", "most"), [({"MaxConcurrency": 2}, 2), ({"MaxConcurrencyPath": "$.limit"}, 3), ({}, 6)]
)
def test_map_runs_as_many_at_once_as_it_may(limit: Json, most: int) -> None:
    lock, together, seen = threading.Lock(), [0], [0]

    def count(payload: Json) -> None:
        with lock:
            together[0] += 1
            seen[0] = max(seen[0], together[0])
        time.sleep(0.1)
        with lock:
            together[0] -= 1

    output(machine(All=mapped(task(), **limit)), {"items": list(range(6)), "limit": 3}, count)
    assert seen[0] == most


def test_map_of_nothing_is_nothing() -> None:
    assert output(machine(All=mapped(task())), {"items": []}) == []


def test_map_of_something_else_than_a_list_names_the_path() -> None:
    execution = run(machine(All=mapped(task())), {"items": {}})
    assert execution.error == "States.Runtime"
    assert 'Reference path "$.items" must point to array.' in str(execution.cause)


def test_map_of_more_items_than_python_has_stack_frames() -> None:
    items = list(range(1500))
    inner = {"Type": "Pass", "End": True}
    assert output(machine(All=mapped(inner, MaxConcurrency=1)), {"items": items}) == items


def test_an_item_that_fails_fails_the_map_at_once_and_starts_no_other() -> None:
    released, started = threading.Event(), []

    def work(payload: Json) -> None:
        started.append(payload)
        if payload == 1:
            wait_until(lambda: 0 in started)
            raise Broken("part 1")
        released.wait(5)

    catch = [{"ErrorEquals": ["Broken"], "Next": "After"}]
    states = machine(
        All=mapped(task(), MaxConcurrency=2, Catch=catch),
        After={"Type": "Wait", "Seconds": 60, "End": True},
    )
    execution = start(states, {"items": [0, 1, 2, 3]}, work)
    wait_until(lambda: "WaitStateEntered" in kinds(execution))
    released.set()
    time.sleep(0.1)
    assert sorted(started) == [0, 1]
    assert kinds(execution)[-1] == "WaitStateEntered"
    execution.abort()


def test_what_still_runs_at_the_end_adds_nothing_to_the_history() -> None:
    events = history.History()
    events.add("ExecutionStarted", 0)
    events.close("ExecutionAborted")
    with pytest.raises(Halted):
        events.add("TaskSucceeded", 1)
    assert len(events.events()) == 2


def test_a_time_limit_within_a_map_is_caught_by_its_name() -> None:
    released = threading.Event()
    catch = [{"ErrorEquals": ["States.Timeout"], "Next": "After"}]
    states = machine(All=mapped(task(TimeoutSeconds=1), Catch=catch), After={"Type": "Succeed"})
    assert output(states, {"items": [1]}, lambda payload: released.wait(5))["Error"] == "States.Timeout"
    released.set()


def test_a_distributed_map_fails_by_its_threshold() -> None:
    state = mapped(task())
    state["ItemProcessor"]["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    execution = run(machine(All=state), {"items": [1]}, Failing(1))
    assert execution.error == "States.ExceedToleratedFailureThreshold"


def test_abort_ends_a_wait_and_nothing_follows() -> None:
    states = machine(First={"Type": "Wait", "Seconds": 60, "Next": "Second"}, Second={"Type": "Succeed"})
    execution = start(states)
    wait_until(lambda: "WaitStateEntered" in kinds(execution))
    execution.abort("Mine", "no more")
    assert execution.wait(1)
    time.sleep(0.05)
    assert (execution.status, execution.error, execution.cause) == ("ABORTED", "Mine", "no more")
    assert kinds(execution) == ["ExecutionStarted", "WaitStateEntered", "ExecutionAborted"]


def test_abort_after_the_end_changes_nothing() -> None:
    execution = run(machine(Only={"Type": "Succeed"}))
    execution.abort("Mine")
    assert execution.status == "SUCCEEDED"


def test_abort_ends_the_threads_of_a_map() -> None:
    before = set(threading.enumerate())
    execution = start(machine(All=mapped({"Type": "Wait", "Seconds": 60, "End": True})), {"items": [1, 2, 3]})
    wait_until(lambda: kinds(execution).count("WaitStateEntered") == 3)
    execution.abort()
    for thread in set(threading.enumerate()) - before:
        thread.join(1)
        assert not thread.is_alive(), thread.name


def test_an_execution_with_too_many_events_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LONGEST", 250)
    forever = machine(One={"Type": "Pass", "Next": "Two"}, Two={"Type": "Pass", "Next": "One"})
    execution = run(forever)
    assert execution.error == "States.Runtime"
    assert "maximum number of history events (250)" in str(execution.cause)
    assert len(kinds(execution)) == 250
