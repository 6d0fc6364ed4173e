"""State machines over a function that fails and takes time as it is told, in stacks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from tests.integration.local_aws.account import Account, arn_of, function, role

Json = Any

CODE = """
import os, pathlib, time

class PartFailed(Exception):
    pass

def handle(event, context):
    started = time.time()
    calls = pathlib.Path(event["folder"], f"calls-{event['part']}")
    with calls.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    if len(calls.read_text().splitlines()) <= event.get("failures", 0):
        raise PartFailed(f"part {event['part']} has the wrong sha256")
    time.sleep(event.get("seconds", 0))
    return {"part": event["part"], "started": started, "ended": time.time()}
"""

RETRY = {"ErrorEquals": ["PartFailed"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 2}
WORK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "${Function}", "Payload.$": "$"},
    "OutputPath": "$.Payload",
    "Retry": [RETRY],
    "End": True,
}
PARTS = {
    "StartAt": "Parts",
    "States": {
        "Parts": {
            "Type": "Map",
            "ItemsPath": "$.parts",
            "ItemSelector": {
                "folder.$": "$.folder",
                "part.$": "$$.Map.Item.Value.part",
                "failures.$": "$$.Map.Item.Value.failures",
                "seconds": 0.7,
            },
            "MaxConcurrency": 3,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Part",
                "States": {"Part": WORK},
            },
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.problem", "Next": "Failed"}],
            "End": True,
        },
        "Failed": {"Type": "Fail", "ErrorPath": "$.problem.Error", "CausePath": "$.problem.Cause"},
    },
}
BY_ARN = {"StartAt": "Only", "States": {"Only": {"Type": "Task", "Resource": "${Function}", "End": True}}}
WAIT = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}


def machine(definition: Mapping[str, Json], **properties: Json) -> dict[str, Json]:
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "DefinitionString": json.dumps(definition),
            "DefinitionSubstitutions": {"Function": arn_of("Function")},
            "RoleArn": arn_of("Role"),
            **properties,
        },
    }


def stack(**machines: Json) -> dict[str, Json]:
    return {"Role": role("states.amazonaws.com"), "Function": function(CODE, Timeout=100), **machines}


def start(account: Account, machine_arn: str, given: Json = None, **more: Json) -> str:
    started = account.client("stepfunctions").start_execution(
        stateMachineArn=machine_arn, input=json.dumps(given or {}), **more
    )
    return str(started["executionArn"])


def ended(account: Account, execution: str) -> dict[str, Json]:
    deadline = time.monotonic() + 20
    while True:
        described: dict[str, Json] = account.client("stepfunctions").describe_execution(
            executionArn=execution
        )
        if described["status"] != "RUNNING":
            return described
        assert time.monotonic() < deadline, described
        time.sleep(0.05)
