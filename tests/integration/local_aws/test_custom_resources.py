"""Custom resources: asked by a Lambda function, answered over HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import urllib3

from tests.integration.local_aws.account import Account, arn_of, function, role

Json = Any

# Answers as the property Behaviour says, and notes each call in an object of the bucket.
HANDLER = """
import json, os, time, urllib.request
def put(url, document):
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(document).encode(), headers, method="PUT"))
def handle(event, context):
    p = event["ResourceProperties"]
    stack = event["StackId"].split("/")[1]
    # Without boto3, which takes most of a second to import.
    put(f"{os.environ['AWS_ENDPOINT_URL']}/code/calls/{stack}/{time.time_ns()}", event)
    if p.get("Behaviour") == "crash":
        raise RuntimeError("the handler crashed")
    if p.get("Behaviour") == "silent":
        return
    if p.get("Behaviour") == "refuse delete" and event["RequestType"] == "Delete":
        status, reason = "FAILED", "not now"
    elif p.get("Behaviour") == "fail":
        status, reason = "FAILED", "sha256 of model.gguf is a, expected b"
    else:
        status, reason = "SUCCESS", ""
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": p.get("Id", event.get("PhysicalResourceId", "made")),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Echo": p.get("Value", ""), "Long": "x" * int(p.get("Long", 0))},
    }
    put(event["ResponseURL"], body)
"""


def resources(**properties: Json) -> dict[str, Json]:
    return {
        "Role": role(),
        "Function": function(HANDLER, Timeout=20),
        "Custom": {
            "Type": "Custom::Thing",
            "Properties": {"ServiceToken": arn_of("Function"), **properties},
        },
    }


def calls(account: Account, stack: str) -> list[dict[str, Json]]:
    """The events that the function was called with, the first first."""
    s3 = account.client("s3")
    listed = s3.list_objects_v2(Bucket="code", Prefix=f"calls/{stack}/").get("Contents", [])
    keys = sorted(entry["Key"] for entry in listed)
    return [json.loads(s3.get_object(Bucket="code", Key=key)["Body"].read()) for key in keys]


def test_a_custom_resource_is_created_updated_and_deleted(account: Account) -> None:
    outputs = {"Echo": {"Value": {"Fn::GetAtt": ["Custom", "Echo"]}}, "Id": {"Value": {"Ref": "Custom"}}}
    nested = {"Number": 3, "List": [True, {"a": 1}]}
    account.deploy("custom", resources(Value="one", **nested), Outputs=outputs)
    assert account.outputs("custom") == {"Echo": "one", "Id": "made"}
    account.deploy("custom", resources(Value="two", **nested), Outputs=outputs)
    assert account.outputs("custom") == {"Echo": "two", "Id": "made"}
    assert account.destroy("custom") == "DELETE_COMPLETE"

    by_type = {call["RequestType"]: call for call in calls(account, "custom")}
    assert set(by_type) == {"Create", "Update", "Delete"}
    create, update, delete = by_type["Create"], by_type["Update"], by_type["Delete"]
    assert create["ResourceType"] == "Custom::Thing"
    assert create["LogicalResourceId"] == "Custom"
    assert create["ResourceProperties"]["Number"] == "3"
    assert create["ResourceProperties"]["List"] == ["true", {"a": "1"}]
    assert update["OldResourceProperties"]["Value"] == "one"
    assert update["PhysicalResourceId"] == delete["PhysicalResourceId"] == "made"


def test_a_new_physical_id_deletes_the_old_resource_in_the_clean_up(account: Account) -> None:
    account.deploy("renamed", resources(Id="one"))
    account.deploy("renamed", resources(Id="two"))
    assert account.physical_id("renamed", "Custom") == "two"
    (deletion,) = [call for call in calls(account, "renamed") if call["RequestType"] == "Delete"]
    assert deletion["PhysicalResourceId"] == "one"
    assert deletion["ResourceProperties"]["Id"] == "one"
    statuses = [event["ResourceStatus"] for event in account.events("renamed")]
    assert statuses[-4:] == [
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
        "UPDATE_COMPLETE",
    ]


def test_a_failed_update_is_asked_to_go_back(account: Account) -> None:
    account.deploy("back", resources(Id="one"))
    stack = account.deploy(
        "back", {**resources(Id="two"), "Bad": {"Type": "AWS::Glue::Job", "DependsOn": "Custom"}}
    )
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert account.physical_id("back", "Custom") == "one"
    asked = [(call["RequestType"], call["ResourceProperties"]["Id"]) for call in calls(account, "back")]
    assert asked == [("Create", "one"), ("Update", "two"), ("Update", "one"), ("Delete", "two")]


def test_a_refusal_is_the_reason_on_the_stack(account: Account) -> None:
    account.deploy("refused", resources(Behaviour="fail"))
    reason = account.reason("refused", "Custom", "CREATE_FAILED")
    assert reason.startswith(
        "Received response status [FAILED] from custom resource."
        " Message returned: sha256 of model.gguf is a, expected b (RequestId: "
    )


def test_a_crash_fails_the_resource_at_once_with_the_error(account: Account) -> None:
    started = time.monotonic()
    account.deploy("crashed", resources(Behaviour="crash"))
    assert time.monotonic() - started < 20
    reason = account.reason("crashed", "Custom", "CREATE_FAILED")
    assert reason == "the custom resource's function failed: RuntimeError: the handler crashed"


def test_silence_fails_the_resource_after_the_service_timeout(account: Account) -> None:
    account.deploy("silent", resources(Behaviour="silent", ServiceTimeout="2"))
    reason = account.reason("silent", "Custom", "CREATE_FAILED")
    assert reason.startswith(
        "CloudFormation did not receive a response from your Custom Resource within 2 seconds."
    )


def test_an_answer_that_is_too_long_is_refused_as_on_aws(account: Account) -> None:
    account.deploy("long", resources(Long="5000"))
    assert account.reason("long", "Custom", "CREATE_FAILED") == "Response object is too long."


def test_a_deletion_that_is_refused_fails_the_stack(account: Account) -> None:
    account.deploy("stays", resources(Behaviour="refuse delete"))
    assert account.destroy("stays") == "DELETE_FAILED"
    assert "not now" in account.reason("stays", "Custom", "DELETE_FAILED")


def test_an_answer_can_come_later_from_elsewhere(account: Account) -> None:
    """As from the end of an image build: the function itself has long returned."""
    template = {"Resources": resources(Behaviour="silent")}
    account.client("cloudformation").create_stack(StackName="later", TemplateBody=json.dumps(template))
    while not (asked := calls(account, "later")):
        time.sleep(0.05)
    event = asked[0]
    time.sleep(0.5)  # by now the function has ended
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": "late", "Data": {}}
    assert urllib3.request("PUT", event["ResponseURL"], body=json.dumps(answer)).status == 200
    assert account.settled("later")["StackStatus"] == "CREATE_COMPLETE"
    assert account.physical_id("later", "Custom") == "late"
    # The URL has served its purpose.
    assert urllib3.request("PUT", event["ResponseURL"], body=b"{}").status == 403


@pytest.mark.parametrize("missing", ["StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"])
def test_an_answer_without_its_names_fails_the_resource(account: Account, missing: str) -> None:
    name = f"without-{missing}"
    template = {"Resources": resources(Behaviour="silent")}
    account.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
    while not (asked := calls(account, name)):
        time.sleep(0.05)
    event = asked[0]
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": "x"}
    del answer[missing]
    urllib3.request("PUT", event["ResponseURL"], body=json.dumps(answer))
    assert account.settled(name)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert account.reason(name, "Custom", "CREATE_FAILED").startswith("Invalid")
