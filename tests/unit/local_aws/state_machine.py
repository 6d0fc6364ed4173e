"""Runs a state machine against functions that are written in the test, with all its threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from quant_llm_tools.local_aws.step_functions.definition import parsed
from quant_llm_tools.local_aws.step_functions.execution import Execution
from quant_llm_tools.local_aws.step_functions.interpreter import Interpreter
from quant_llm_tools.local_aws.step_functions.task import Answer

Json = Any
Function = Callable[[Json], Json]

ROLE = "arn:aws:iam::123456789012:role/machine"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:machine"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:machine:one"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:work"


class Broken(Exception):
    """What a function of a test raises."""


def spawn(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


def hurried(part: Json) -> Json:
    """A definition whose seconds are tenths."""
    if isinstance(part, list):
        return [hurried(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: value / 10
        if name in ("TimeoutSeconds", "IntervalSeconds", "MaxDelaySeconds")
        else hurried(value)
        for name, value in part.items()
    }


def start(
    definition: Json,
    given: Json = None,
    function: Function = lambda payload: payload,
    announce: Callable[[Execution], None] = lambda execution: None,
) -> Execution:
    """Start a machine in tenths of seconds; every function that it names is `function`."""

    def invoke(name: str, payload: Json) -> Future[Answer]:
        future: Future[Answer] = Future()

        def work() -> None:
            try:
                future.set_result(Answer(json.dumps(function(payload))))
            except Exception as error:
                kind = type(error).__name__
                problem = json.dumps({"errorMessage": str(error), "errorType": kind})
                future.set_result(Answer(problem, kind))

        spawn(name, work)
        return future

    execution = Execution(
        EXECUTION,
        MACHINE,
        "one",
        json.dumps(given or {}),
        ROLE,
        hurried(parsed(json.dumps(definition))),
        announce,
    )
    # Full jitter would make the time of a retry a matter of chance.
    execution.start(Interpreter(invoke, spawn, jitter=lambda least, most: least), spawn)
    return execution


def run(definition: Json, given: Json = None, function: Function = lambda payload: payload) -> Execution:
    """Run a machine to its end."""
    execution = start(definition, given, function)
    assert execution.wait(10), "the execution does not end"
    return execution


def output(definition: Json, given: Json = None, function: Function = lambda payload: payload) -> Json:
    """The output of a machine that must succeed."""
    execution = run(definition, given, function)
    assert execution.status == "SUCCEEDED", execution.describe()
    assert execution.output is not None
    return json.loads(execution.output)


def machine(**states: Json) -> dict[str, Json]:
    """A machine of these states, that starts at the first."""
    return {"StartAt": next(iter(states)), "States": states}


def task(**more: Json) -> dict[str, Json]:
    """A last state that calls the function with its input and answers what that returns."""
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": FUNCTION, "Payload.$": "$"},
        "ResultSelector": {"value.$": "$.Payload"},
        "OutputPath": "$.value",
    }
    return {**state, **({} if "Next" in more else {"End": True}), **more}


def mapped(inner: Json, **more: Json) -> dict[str, Json]:
    """A last state that runs one inner state for each item of `$.items`."""
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, **machine(Inner=inner)}
    state = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor}
    return {**state, **({} if "Next" in more else {"End": True}), **more}
