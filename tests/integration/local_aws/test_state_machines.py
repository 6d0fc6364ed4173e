from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.local_aws.account import Account, arn_of
from tests.integration.local_aws.machines import BY_ARN, PARTS, WAIT, ended, machine, stack, start

Json = Any


@pytest.fixture(scope="module")
def machines(account: Account) -> dict[str, str]:
    """The ARNs of the machines that tests do not change."""
    deployed = account.deploy(
        "machines", stack(Parts=machine(PARTS), ByArn=machine(BY_ARN), Wait=machine(WAIT))
    )
    assert deployed["StackStatus"] == "CREATE_COMPLETE", account.events("machines")
    return {name: account.physical_id("machines", name) for name in ("Parts", "ByArn", "Wait")}


def test_map_runs_functions_side_by_side_and_tries_the_failed_one_again(
    account: Account, machines: Mapping[str, str], tmp_path: Path
) -> None:
    parts = [{"part": number, "failures": int(number == 1)} for number in range(3)]
    described = ended(account, start(account, machines["Parts"], {"folder": str(tmp_path), "parts": parts}))
    assert described["status"] == "SUCCEEDED", described
    done = json.loads(described["output"])
    assert [part["part"] for part in done] == [0, 1, 2]
    assert max(part["started"] for part in (done[0], done[2])) < min(
        part["ended"] for part in (done[0], done[2])
    )
    assert [len((tmp_path / f"calls-{number}").read_text().splitlines()) for number in range(3)] == [1, 2, 1]
    assert described["stopDate"] > described["startDate"]


def test_a_part_that_fails_for_good_is_the_execution_s_error(
    account: Account, machines: Mapping[str, str], tmp_path: Path
) -> None:
    parts = [{"part": number, "failures": 9 * int(number == 2)} for number in range(3)]
    execution = start(account, machines["Parts"], {"folder": str(tmp_path), "parts": parts})
    described = ended(account, execution)
    assert (described["status"], described["error"]) == ("FAILED", "PartFailed")
    cause = json.loads(described["cause"])
    assert (cause["errorType"], cause["errorMessage"]) == ("PartFailed", "part 2 has the wrong sha256")
    history = account.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    kinds = [event["type"] for event in history]
    assert (kinds[0], kinds[-1]) == ("ExecutionStarted", "ExecutionFailed")
    assert kinds.count("MapIterationStarted") == 3
    assert kinds.count("TaskFailed") == 2
    failures = [
        event["taskFailedEventDetails"]["error"] for event in history if event["type"] == "TaskFailed"
    ]
    assert failures == ["PartFailed", "PartFailed"]


def test_history_is_read_backwards_and_in_pages(
    account: Account, machines: Mapping[str, str], tmp_path: Path
) -> None:
    execution = start(account, machines["ByArn"], {"folder": str(tmp_path), "part": 0})
    ended(account, execution)
    client = account.client("stepfunctions")
    last = client.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=1)
    assert [event["type"] for event in last["events"]] == ["ExecutionSucceeded"]
    pages = client.get_paginator("get_execution_history").paginate(
        executionArn=execution, PaginationConfig={"PageSize": 2}
    )
    ids = [event["id"] for page in pages for event in page["events"]]
    assert ids == list(range(1, len(ids) + 1))


def test_a_function_by_its_arn_answers_with_its_result_and_error(
    account: Account, machines: Mapping[str, str], tmp_path: Path
) -> None:
    given = {"folder": str(tmp_path), "part": 0}
    assert json.loads(ended(account, start(account, machines["ByArn"], given))["output"])["part"] == 0
    described = ended(account, start(account, machines["ByArn"], {**given, "failures": 9}))
    assert described["error"] == "PartFailed"


def test_a_function_that_is_not_there_is_lambda_s_error(
    account: Account, machines: Mapping[str, str]
) -> None:
    missing = "arn:aws:lambda:us-east-1:123456789012:function:missing"
    definition = json.dumps(BY_ARN).replace("${Function}", missing)
    role_arn = account.client("stepfunctions").describe_state_machine(stateMachineArn=machines["Wait"])[
        "roleArn"
    ]
    created = account.client("stepfunctions").create_state_machine(
        name="missing", definition=definition, roleArn=role_arn
    )
    described = ended(account, start(account, created["stateMachineArn"]))
    assert described["error"] == "Lambda.ResourceNotFoundException"
    assert missing in described["cause"]


def test_stop_ends_an_execution_at_once(account: Account, machines: Mapping[str, str]) -> None:
    client, execution = account.client("stepfunctions"), start(account, machines["Wait"], name="stopped")
    client.stop_execution(executionArn=execution, error="Mine", cause="no more")
    described = client.describe_execution(executionArn=execution)
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Mine", "no more")
    listed = client.list_executions(stateMachineArn=machines["Wait"], statusFilter="ABORTED")["executions"]
    assert [(entry["name"], entry["stopDate"]) for entry in listed] == [("stopped", described["stopDate"])]


def test_a_name_and_input_start_one_execution(account: Account, machines: Mapping[str, str]) -> None:
    client, execution = (
        account.client("stepfunctions"),
        start(account, machines["Wait"], {"a": 1}, name="once"),
    )
    assert start(account, machines["Wait"], {"a": 1}, name="once") == execution
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(account, machines["Wait"], {"a": 2}, name="once")
    client.stop_execution(executionArn=execution)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(account, machines["Wait"], {"a": 1}, name="once")


def test_executions_without_a_name_get_one_each(account: Account, machines: Mapping[str, str]) -> None:
    executions = {start(account, machines["Wait"]) for _ in range(2)}
    assert len(executions) == 2
    for execution in executions:
        account.client("stepfunctions").stop_execution(executionArn=execution)


def test_a_stack_changes_its_machine_in_place_and_deletes_it(account: Account) -> None:
    logging = {
        "Level": "ERROR",
        "IncludeExecutionData": True,
        "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn_of("Logs")}}],
    }
    resources = stack(
        Logs={"Type": "AWS::Logs::LogGroup"},
        Machine=machine(WAIT, LoggingConfiguration=logging, StateMachineName="changing"),
    )
    outputs = {"Arn": {"Value": arn_of("Machine")}, "Name": {"Value": {"Fn::GetAtt": ["Machine", "Name"]}}}
    account.deploy("changing", resources, Outputs=outputs, tags=[{"Key": "agency", "Value": "moh"}])
    arn = account.physical_id("changing", "Machine")
    assert account.outputs("changing") == {"Arn": arn, "Name": "changing"}
    client = account.client("stepfunctions")
    described = client.describe_state_machine(stateMachineArn=arn)
    assert described["loggingConfiguration"]["level"] == "ERROR"
    assert ":log-group:changing-Logs-" in str(described["loggingConfiguration"]["destinations"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "agency", "value": "moh"}]
    running = start(account, arn)

    del (
        resources["Machine"]["Properties"]["DefinitionString"],
        resources["Machine"]["Properties"]["LoggingConfiguration"],
    )
    resources["Machine"]["Properties"]["Definition"] = PARTS
    assert account.deploy("changing", resources, Outputs=outputs)["StackStatus"] == "UPDATE_COMPLETE"
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == []
    described = client.describe_state_machine(stateMachineArn=arn)
    assert "arn:aws:lambda:us-east-1:123456789012:function:changing-Function-" in described["definition"]
    assert described["loggingConfiguration"]["level"] == "OFF"
    assert client.describe_execution(executionArn=running)["status"] == "RUNNING"

    assert account.destroy("changing") == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        client.describe_state_machine(stateMachineArn=arn)
    deadline = time.monotonic() + 5
    while any(
        "execution" in thread.name and running.endswith(thread.name[10:]) for thread in threading.enumerate()
    ):
        assert time.monotonic() < deadline, "the execution outlives its machine"
        time.sleep(0.02)


def test_a_definition_that_is_not_run_fails_the_stack_with_its_place(account: Account) -> None:
    wrong = {"StartAt": "Only", "States": {"Only": {"Type": "Parallel", "Branches": [], "End": True}}}
    assert account.deploy("wrong", stack(Machine=machine(wrong)))["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = account.reason("wrong", "Machine", "CREATE_FAILED")
    assert "does not run states of type 'Parallel' at /States/Only" in reason
