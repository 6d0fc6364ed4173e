"""Step Functions' API on moto: its state machines, with executions that really run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ExecutionAlreadyExists, ExecutionDoesNotExist
from moto.stepfunctions.models import StateMachine, StepFunctionBackend
from moto.stepfunctions.responses import StepFunctionResponse

from quant_llm_tools.local_aws import events
from quant_llm_tools.local_aws.cloud import Cloud, Seam
from quant_llm_tools.local_aws.lambda_runtime import LambdaRuntime
from quant_llm_tools.local_aws.step_functions.definition import parsed
from quant_llm_tools.local_aws.step_functions.errors import (
    InvalidDefinition,
    StateError,
    StateMachineAlreadyExists,
)
from quant_llm_tools.local_aws.step_functions.execution import Execution
from quant_llm_tools.local_aws.step_functions.interpreter import Interpreter
from quant_llm_tools.local_aws.step_functions.task import Answer, Invoke

Json = Any


class StepFunctions:
    """Runs the executions of one embedded AWS."""

    def __init__(self, cloud: Cloud, runtime: LambdaRuntime) -> None:
        self._cloud = cloud
        self._runtime = runtime
        self._running: list[Execution] = []
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End all executions."""
        with self._lock:
            executions = list(self._running)
        for execution in executions:
            execution.abort()

    def seams(self) -> list[Seam]:
        """moto's executions succeed at once without doing anything; definitions it does not read."""
        service = self
        create, update = StepFunctionBackend.create_state_machine, StepFunctionBackend.update_state_machine
        delete, list_executions = (
            StepFunctionBackend.delete_state_machine,
            StepFunctionResponse.list_executions,
        )

        def create_state_machine(
            backend: StepFunctionBackend, name: str, definition: str, roleArn: str, **more: Json
        ) -> StateMachine:
            parsed(definition)
            if more.get("sm_type") not in (None, "STANDARD"):
                raise InvalidDefinition("the embedded AWS runs state machines of type STANDARD only")
            machine = create(backend, name, definition, roleArn, **more)
            if machine.definition != definition or machine.roleArn != roleArn:
                raise StateMachineAlreadyExists(f"State Machine Already Exists: '{machine.arn}'")
            return machine

        def update_state_machine(
            backend: StepFunctionBackend, arn: str, definition: str | None = None, *rest: Json, **more: Json
        ) -> StateMachine:
            if definition is not None:
                parsed(definition)
            return update(backend, arn, definition, *rest, **more)

        def delete_state_machine(backend: StepFunctionBackend, arn: str) -> None:
            for machine in backend.state_machines:
                if machine.arn == arn:
                    for execution in _executions(machine):
                        execution.abort()
            delete(backend, arn)

        def start_execution(
            machine: StateMachine,
            region_name: str,
            account_id: str,
            execution_name: str,
            execution_input: str,
        ) -> Execution:
            return service._start(machine, region_name, account_id, execution_name, execution_input)

        def stop_execution(response: StepFunctionResponse) -> ActionResult:
            execution = _execution(response)
            execution.abort(response._get_param("error"), response._get_param("cause"))
            return ActionResult({"stopDate": execution.stop_date})

        def describe_execution(response: StepFunctionResponse) -> ActionResult:
            return ActionResult(_execution(response).describe())

        def list_with_stop_dates(response: StepFunctionResponse) -> ActionResult:
            answer: Json = list_executions(response).result
            for entry in answer["executions"]:
                execution = response.stepfunction_backend.describe_execution(entry["executionArn"])
                entry["stopDate"] = execution.stop_date
            return ActionResult(answer)

        def get_execution_history(response: StepFunctionResponse) -> ActionResult:
            return ActionResult(_history_page(response))

        return [
            (StepFunctionBackend, "create_state_machine", create_state_machine),
            (StepFunctionBackend, "update_state_machine", update_state_machine),
            (StepFunctionBackend, "delete_state_machine", delete_state_machine),
            (StateMachine, "start_execution", start_execution),
            (StepFunctionResponse, "stop_execution", stop_execution),
            (StepFunctionResponse, "describe_execution", describe_execution),
            (StepFunctionResponse, "list_executions", list_with_stop_dates),
            (StepFunctionResponse, "get_execution_history", get_execution_history),
        ]

    def _start(self, machine: StateMachine, region: str, account: str, name: str, given: str) -> Execution:
        machine._validate_execution_input(given)
        arn = f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}"
        executions = _executions(machine)
        with self._lock:
            for known in executions:
                if known.name == name:
                    # The same again is the same execution as long as that runs, as on AWS.
                    if known.status == "RUNNING" and known.execution_input == given:
                        return known
                    raise ExecutionAlreadyExists(f"Execution Already Exists: '{arn}'")
            execution = Execution(
                arn,
                machine.arn,
                name,
                given,
                machine.roleArn,
                parsed(machine.definition),
                self._announcer(region, account),
            )
            executions.append(execution)
            self._running = [known for known in self._running if known.status == "RUNNING"] + [execution]
        execution.start(Interpreter(self._invoker(region, account), self._cloud.spawn), self._cloud.spawn)
        return execution

    def _announcer(self, region: str, account: str) -> Callable[[Execution], None]:
        def announce(execution: Execution) -> None:
            if not self._cloud.stopping.is_set():
                events.emit(
                    account,
                    region,
                    "aws.states",
                    "Step Functions Execution Status Change",
                    [execution.execution_arn],
                    execution.event_detail(),
                )

        return announce

    def _invoker(self, region: str, account: str) -> Invoke:
        def invoke(function: str, payload: Json) -> Future[Answer]:
            future: Future[Answer] = Future()

            def work() -> None:
                try:
                    future.set_result(self._call(region, account, function, payload))
                except Exception as error:
                    future.set_exception(error)

            self._cloud.spawn(f"task {function.rsplit(':', 1)[-1]}", work)
            return future

        return invoke

    def _call(self, region: str, account: str, function: str, payload: Json) -> Answer:
        name, qualifier = function, None
        if function.startswith("arn:"):
            _, _, _, region, account, _, name, *version = function.split(":")
            qualifier = version[0] if version else None
        try:
            found = lambda_backends[account][region].get_function(name, qualifier)
        except UnknownFunctionException:
            details = "Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException"
            cause = f"Function not found: {function} ({details})"
            raise StateError("Lambda.ResourceNotFoundException", cause) from None
        outcome = self._runtime.run(found, payload)
        error = None if outcome.error is None else str(outcome.error["errorType"])
        return Answer(outcome.payload.decode(), error)


def _executions(machine: StateMachine) -> list[Execution]:
    """A machine's executions, which moto's annotation takes for its own."""
    return cast("list[Execution]", machine.executions)


def _execution(response: StepFunctionResponse) -> Execution:
    backend, arn = response.stepfunction_backend, response._get_param("executionArn")
    found: Json = backend.describe_execution(arn)
    if not isinstance(found, Execution):
        raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{arn}'")
    return found


def _history_page(response: StepFunctionResponse) -> dict[str, Json]:
    events = _execution(response).history.events()
    if response._get_param("reverseOrder"):
        events.reverse()
    start = int(response._get_param("nextToken") or 0)
    end = start + int(response._get_param("maxResults") or 1000)
    page: dict[str, Json] = {"events": events[start:end]}
    if end < len(events):
        page["nextToken"] = json.dumps(end)
    return page
