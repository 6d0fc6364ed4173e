"""Task states: calls of Lambda functions, by the service integration or by the function's ARN."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from quant_llm_tools.local_aws.step_functions.definition import LAMBDA_INVOKE
from quant_llm_tools.local_aws.step_functions.errors import StateError
from quant_llm_tools.local_aws.step_functions.frame import Frame
from quant_llm_tools.local_aws.step_functions.paths import compact, fill

Json = Any


@dataclass(frozen=True)
class Answer:
    """What a function answered: its JSON payload, and the error's name if it failed."""

    payload: str
    error: str | None = None


Invoke = Callable[[str, Json], "Future[Answer]"]
"""Invokes a function by name or ARN; the future raises StateError if it cannot be called at all."""


def run_task(state: Mapping[str, Json], given: Json, frame: Frame, invoke: Invoke) -> Json:
    """A task's result. StateError with the function's error, or States.Timeout."""
    parameters = fill(state["Parameters"], given, frame.context) if "Parameters" in state else given
    timeout = {"timeoutInSeconds": state["TimeoutSeconds"]} if "TimeoutSeconds" in state else {}
    if state["Resource"] != LAMBDA_INVOKE:
        function = state["Resource"]
        frame.note("LambdaFunctionScheduled", {"resource": function, "input": compact(parameters), **timeout})
        frame.note("LambdaFunctionStarted")
        return _called("LambdaFunction", {}, function, parameters, state, frame, invoke)
    place = {"resourceType": "lambda", "resource": "invoke"}
    region = frame.context["StateMachine"]["Id"].split(":")[3]
    frame.note("TaskScheduled", {**place, "region": region, "parameters": compact(parameters), **timeout})
    frame.note("TaskStarted", place)
    function, payload = parameters["FunctionName"], parameters.get("Payload", {})
    return _called("Task", place, function, payload, state, frame, invoke)


def _called(
    kind: str,
    place: Mapping[str, str],
    function: str,
    payload: Json,
    state: Mapping[str, Json],
    frame: Frame,
    invoke: Invoke,
) -> Json:
    frame.check_size(payload)
    try:
        answer = invoke(function, payload).result(state.get("TimeoutSeconds"))
        if answer.error is not None:
            raise StateError(answer.error, answer.payload)
    except TimeoutError:
        frame.note(f"{kind}TimedOut", {**place, "error": "States.Timeout"})
        raise StateError("States.Timeout", "") from None
    except StateError as error:
        frame.note(f"{kind}Failed", {**place, "error": error.error, "cause": error.cause})
        raise
    result = json.loads(answer.payload)
    if kind == "Task":
        result = {
            "ExecutedVersion": "$LATEST",
            "Payload": result,
            "SdkHttpMetadata": {"HttpStatusCode": 200},
            "SdkResponseMetadata": {"RequestId": str(uuid.uuid4())},
            "StatusCode": 200,
        }
    frame.check_size(result)
    frame.note(f"{kind}Succeeded", {**place, "output": compact(result)})
    return result
