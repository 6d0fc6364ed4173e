from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.integration.local_aws.account import Account

Json = Any


def resources(timeout: str = "20", **properties: Json) -> dict[str, Json]:
    condition = {"Handle": {"Ref": "Handle"}, "Timeout": timeout, **properties}
    return {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Condition": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": condition},
    }


def start(account: Account, name: str, **sections: Json) -> str:
    """Create a stack that waits; returns the URL to signal to."""
    template = json.dumps({"Resources": sections.pop("resources", resources()), **sections})
    account.client("cloudformation").create_stack(StackName=name, TemplateBody=template)
    deadline = time.monotonic() + 10
    while "Condition" not in [event["LogicalResourceId"] for event in account.events(name)]:
        assert time.monotonic() < deadline, "the condition is not created"
        time.sleep(0.02)
    return account.physical_id(name, "Handle")


def signal(url: str, **told: str) -> None:
    """PUT as curl and Lambda functions do, with the content type that a signed URL wants: none."""
    body = {"Status": "SUCCESS", "UniqueId": "one", "Data": "", "Reason": "", **told}
    request = urllib.request.Request(  # noqa: S310 - http, on loopback
        url, json.dumps(body).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        assert answer.status == 200


def test_a_stack_goes_on_when_all_signals_came_and_shows_their_data(account: Account) -> None:
    outputs = {"Data": {"Value": {"Fn::GetAtt": ["Condition", "Data"]}}}
    url = start(account, "signals", resources=resources(Count="2"), Outputs=outputs)
    signal(url, UniqueId="one", Data="first")
    signal(url, UniqueId="one", Data="first")
    time.sleep(0.3)
    assert account.stack("signals")["StackStatus"] == "CREATE_IN_PROGRESS"
    signal(url, UniqueId="two", Data="second")
    assert account.settled("signals")["StackStatus"] == "CREATE_COMPLETE"
    assert json.loads(account.outputs("signals")["Data"]) == {"one": "first", "two": "second"}


def test_a_failure_s_reason_is_on_the_stack_event(account: Account) -> None:
    url = start(account, "failure")
    signal(url, Status="FAILURE", UniqueId="repack", Reason="part 3 of m.gguf has the wrong sha256")
    assert account.settled("failure")["StackStatus"] == "ROLLBACK_COMPLETE"
    assert account.reason("failure", "Condition", "CREATE_FAILED") == (
        "WaitCondition received failed message: 'part 3 of m.gguf has the wrong sha256' for uniqueId: repack"
    )


def test_a_condition_without_enough_signals_times_out(account: Account) -> None:
    url = start(account, "late", resources=resources("1", Count="2"))
    signal(url)
    assert account.settled("late")["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = account.reason("late", "Condition", "CREATE_FAILED")
    assert reason == "WaitCondition timed out. Received 1 conditions when expecting 2"


def test_the_url_of_a_stack_that_is_gone_takes_no_signal(account: Account) -> None:
    url = start(account, "gone")
    signal(url)
    account.settled("gone")
    account.destroy("gone")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        signal(url)
    assert refusal.value.code == 403
    refusal.value.close()


def test_an_update_waits_for_a_condition_that_is_new_in_it(account: Account) -> None:
    first = {"Note": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}}
    account.deploy("again", first)
    template = json.dumps({"Resources": {**first, **resources()}})
    account.client("cloudformation").update_stack(StackName="again", TemplateBody=template)
    deadline = time.monotonic() + 10
    while "Condition" not in [event["LogicalResourceId"] for event in account.events("again")]:
        assert time.monotonic() < deadline, "the condition is not created"
        time.sleep(0.02)
    signal(account.physical_id("again", "Handle"))
    assert account.settled("again")["StackStatus"] == "UPDATE_COMPLETE"
