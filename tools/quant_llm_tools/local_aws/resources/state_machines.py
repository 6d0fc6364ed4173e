"""Step Functions' state machines."""

from __future__ import annotations

import json
from typing import Any

from quant_llm_tools.local_aws.resources.request import Request
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any


class StateMachine:
    """AWS::StepFunctions::StateMachine; its name and type replace it."""

    def create(self, request: Request) -> None:
        """Create the state machine."""
        name = request.name("StateMachineName", 80)
        arn = request.call(
            "stepfunctions.create_state_machine",
            name=name,
            definition=_definition(request),
            type=request.properties.get("StateMachineType", "STANDARD"),
        )["stateMachineArn"]
        request.identify(arn)
        request.attributes = {"Arn": arn, "Name": name}

    def update(self, request: Request) -> None:
        """Change definition, role and settings: what starts from now on runs by them."""
        off: dict[str, Json] = {
            "loggingConfiguration": {"level": "OFF", "includeExecutionData": False, "destinations": []},
            "tracingConfiguration": {"enabled": False},
        }
        given = {name.lower() for name in request.properties}
        defaults = {name: value for name, value in off.items() if name.lower() not in given}
        request.call(
            "stepfunctions.update_state_machine",
            stateMachineArn=request.physical_id,
            definition=_definition(request),
            **defaults,
        )
        request.retag(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the state machine, which ends its executions."""
        request.send(
            request.client("stepfunctions").delete_state_machine, stateMachineArn=request.physical_id
        )


def _definition(request: Request) -> str:
    """The definition as text, with each `${name}` of the substitutions replaced."""
    if "DefinitionString" in request.properties:
        text = str(request.properties["DefinitionString"])
    elif "Definition" in request.properties:
        text = json.dumps(request.properties["Definition"])
    else:
        raise ResourceFailed("the embedded AWS takes state machines from DefinitionString or Definition only")
    for name, value in request.properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{name}}}", str(value))
    return text
