"""Step Functions' state machines."""

from __future__ import annotations

import json
from typing import Any

from quant_llm_tools.local_aws.resources.request import Request, tag_map
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
        defaults: dict[str, Json] = {}
        if "LoggingConfiguration" not in request.properties:
            defaults["loggingConfiguration"] = {"level": "OFF"}
        if "TracingConfiguration" not in request.properties:
            defaults["tracingConfiguration"] = {"enabled": False}
        request.call(
            "stepfunctions.update_state_machine",
            stateMachineArn=request.physical_id,
            definition=_definition(request),
            **defaults,
        )
        _retag(request)

    def delete(self, request: Request) -> None:
        """Delete the state machine, which ends its executions."""
        request.send(
            request.client("stepfunctions").delete_state_machine, stateMachineArn=request.physical_id
        )


def _retag(request: Request) -> None:
    """moto's tagging API does not know state machines; Step Functions' own does the same."""
    if not request.changed("Tags"):
        return
    client, arn = request.client("stepfunctions"), request.physical_id
    new, old = tag_map(request.properties.get("Tags", [])), tag_map(request.old.get("Tags", []))
    if gone := [key for key in old if key not in new]:
        request.send(client.untag_resource, resourceArn=arn, tagKeys=gone)
    if new:
        tags = [{"key": key, "value": value} for key, value in new.items()]
        request.send(client.tag_resource, resourceArn=arn, tags=tags)


def _definition(request: Request) -> str:
    """The definition as text, with each `${name}` of the substitutions replaced."""
    text, definition = request.properties.get("DefinitionString"), request.properties.get("Definition")
    if definition is not None:
        text = json.dumps(definition)
    if text is None:
        raise ResourceFailed("the embedded AWS takes state machines from DefinitionString or Definition only")
    told = str(text)
    for name, value in request.properties.get("DefinitionSubstitutions", {}).items():
        told = told.replace(f"${{{name}}}", str(value))
    return told
