"""Lambda functions run from their deployed code, with their environment and their limits."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.local_aws.account import Account, arn_of, function, role

Json = Any


def invoke(account: Account, name: str, event: Json = None, **options: Json) -> dict[str, Json]:
    payload = json.dumps({} if event is None else event)
    answer: dict[str, Json] = account.client("lambda").invoke(
        FunctionName=name, Payload=payload, LogType="Tail", **options
    )
    text = answer["Payload"].read()
    answer["Payload"] = json.loads(text) if text else None
    answer["Log"] = base64.b64decode(answer.get("LogResult", "")).decode()
    return answer


def deploy(account: Account, name: str, code: Mapping[str, Json] | str, **properties: Json) -> None:
    definition = function(code, FunctionName=name, **properties)
    stack = account.deploy(f"stack-{name}", {"Role": role(), "Function": definition})
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), account.events(f"stack-{name}")


def test_a_function_sees_its_event_context_and_environment_and_nothing_else(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TESTS", "1")
    code = """
import importlib.util, os, sys, tempfile
NAMES = ("boto3", "urllib3", "quant_llm", "moto", "pytest")
def handle(event, context):
    return {
        "event": event,
        "environment": dict(os.environ),
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "remaining": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
        "request": context.aws_request_id,
        "group": context.log_group_name,
        "importable": [name for name in NAMES if importlib.util.find_spec(name)],
        "temporary": tempfile.gettempdir(),
    }
"""
    deploy(account, "sees", code, Environment={"Variables": {"MODEL": "m"}}, Timeout=20, MemorySize=256)
    answer = invoke(account, "sees", {"a": 1})
    assert "FunctionError" not in answer, answer
    seen = answer["Payload"]
    assert seen["event"] == {"a": 1}
    environment = seen["environment"]
    assert environment["MODEL"] == "m"
    assert environment["AWS_ENDPOINT_URL"] == environment["AWS_ENDPOINT_URL_S3"] == account.aws.endpoint_url
    assert environment["HF_ENDPOINT"] == account.aws.hub_url
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == seen["memory"] == "256"
    assert "SECRET_OF_THE_TESTS" not in environment
    assert seen["name"] == "sees"
    assert seen["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:sees"
    assert 0 < seen["remaining"] <= 20_000
    assert seen["group"] == "/aws/lambda/sees"
    assert seen["importable"] == ["boto3", "urllib3"]
    assert seen["temporary"] == environment["TMPDIR"]
    assert seen["request"] in answer["Log"]


def test_a_function_reaches_the_embedded_aws_as_its_role(account: Account) -> None:
    code = """
import boto3
def handle(event, context):
    return boto3.client("sts").get_caller_identity()["Arn"]
"""
    deploy(account, "caller", code, Timeout=20)
    role_name = account.physical_id("stack-caller", "Role")
    arn = invoke(account, "caller")["Payload"]
    assert arn == f"arn:aws:sts::123456789012:assumed-role/{role_name}/caller"


def test_lines_go_to_the_log_while_the_function_runs(account: Account) -> None:
    code = """
import logging, time
def handle(event, context):
    print("started")
    logging.getLogger().warning("beware")
    time.sleep(event["seconds"])
"""
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "own-group"}}
    logging = {"LogGroup": {"Ref": "Group"}}
    talks = function(code, FunctionName="talks", Timeout=30, LoggingConfig=logging)
    account.deploy("stack-talks", {"Role": role(), "Group": group, "Function": talks})
    invoke(account, "talks", {"seconds": 25}, InvocationType="Event")
    deadline = time.monotonic() + 20
    while not any("beware" in line for line in account.logs("own-group")):
        assert time.monotonic() < deadline, account.logs("own-group")
    lines = account.logs("own-group")
    assert lines[0].startswith("START RequestId: ")
    assert lines[1] == "started"
    assert lines[2].startswith("[WARNING]\t")
    assert not any(line.startswith("REPORT") for line in lines)


def test_the_report_tells_the_memory(account: Account) -> None:
    deploy(account, "reports", "def handle(event, context): pass", MemorySize=192)
    log = invoke(account, "reports")["Log"]
    assert "Memory Size: 192 MB\tMax Memory Used: " in log
    used = int(log.split("Max Memory Used: ")[1].split()[0])
    assert 3 < used < 192


def test_a_function_that_takes_too_long_is_killed(account: Account) -> None:
    deploy(account, "slow", "import time\ndef handle(event, context): time.sleep(60)", Timeout=1)
    started = time.monotonic()
    answer = invoke(account, "slow")
    assert time.monotonic() - started < 10
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in answer["Payload"]["errorMessage"]
    assert "Task timed out after 1.00 seconds" in answer["Log"]


def test_a_function_that_takes_too_much_memory_is_killed(account: Account) -> None:
    code = "def handle(event, context):\n    held = bytearray(10**9)\n    import time; time.sleep(60)"
    deploy(account, "fat", code, MemorySize=128, Timeout=30)
    answer = invoke(account, "fat")
    assert answer["Payload"]["errorType"] == "Runtime.OutOfMemory"
    assert "signal: killed" in answer["Payload"]["errorMessage"]


def test_a_spike_of_memory_that_is_over_at_once_counts_too(account: Account) -> None:
    deploy(account, "spike", "def handle(event, context):\n    bytearray(200_000_000)", MemorySize=128)
    assert invoke(account, "spike")["Payload"]["errorType"] == "Runtime.OutOfMemory"


@pytest.mark.parametrize(
    ("name", "code", "kind", "message"),
    [
        ("raises", "def handle(event, context): raise ValueError('no')", "ValueError", "no"),
        (
            "exits",
            "import sys\ndef handle(event, context): sys.exit(3)",
            "Runtime.ExitError",
            "exit status 3",
        ),
        ("dies", "import os\ndef handle(event, context): os.abort()", "Runtime.ExitError", "SIGABRT"),
        ("wants", "import numpy\ndef handle(event, context): 0", "Runtime.ImportModuleError", "numpy"),
        ("typo", "def hande(event, context): 0", "Runtime.HandlerNotFound", "'handle' missing"),
        ("broken", "def handle(", "Runtime.UserCodeSyntaxError", "index"),
        ("odd", "def handle(event, context): return object()", "Runtime.MarshalError", "object"),
    ],
)
def test_a_function_that_crashes_says_how(
    account: Account, name: str, code: str, kind: str, message: str
) -> None:
    deploy(account, name, code)
    answer = invoke(account, name)
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == kind
    assert message in answer["Payload"]["errorMessage"]
    assert f"Status: error\tError Type: {kind}" in answer["Log"]


def test_only_python_runs(account: Account) -> None:
    deploy(account, "node", {"ZipFile": "exports.handle = 1"}, Runtime="nodejs22.x")
    answer = invoke(account, "node")
    message = "the embedded AWS runs Python functions from zip archives only, got runtime nodejs22.x"
    assert answer["Payload"]["errorMessage"] == message


def test_a_dry_run_and_a_payload_that_is_not_json(account: Account) -> None:
    deploy(account, "dry", "def handle(event, context): return event")
    assert invoke(account, "dry", InvocationType="DryRun")["StatusCode"] == 204
    client = account.client("lambda")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="dry", Payload=b"{")


def test_new_code_and_a_new_environment_arrive(account: Account) -> None:
    source = "import os\ndef handle(event, context): return [{0}, os.environ.get('A')]"
    first = account.upload("one.zip", {"index.py": source.format(1)})
    deploy(account, "changes", first, Environment={"Variables": {"A": "1"}}, Timeout=5)
    assert invoke(account, "changes")["Payload"] == [1, "1"]
    deploy(account, "changes", first, Environment={"Variables": {"A": "2"}}, Timeout=5)
    assert invoke(account, "changes")["Payload"] == [1, "2"]
    deploy(account, "changes", account.upload("two.zip", {"index.py": source.format(2)}))
    assert invoke(account, "changes")["Payload"] == [2, None]
    configuration = account.client("lambda").get_function_configuration(FunctionName="changes")
    assert configuration["Timeout"] == 3


def test_code_that_is_not_in_the_bucket_fails_the_stack(account: Account) -> None:
    code = {"S3Bucket": "no-such-bucket", "S3Key": "x.zip"}
    stack = account.deploy("lost", {"Role": role(), "Function": function(code)})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "NoSuchBucket" in account.reason("lost", "Function", "CREATE_FAILED")


ECHO = """
import boto3, json, os
def handle(event, context):
    boto3.client("s3").put_object(Bucket="code", Key=os.environ["KEY"], Body=json.dumps(event).encode())
"""


def rule(pattern: Json, **target: Json) -> dict[str, Json]:
    targets = [{"Id": "t", "Arn": arn_of("Function"), **target}]
    return {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": pattern, "Targets": targets}}


def permission() -> dict[str, Json]:
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": arn_of("Function"),
            "Principal": "events.amazonaws.com",
            "SourceArn": arn_of("Rule"),
        },
    }


def received(account: Account, key: str, *, within: float = 15) -> Json:
    deadline = time.monotonic() + within
    s3 = account.client("s3")
    while time.monotonic() < deadline:
        if s3.list_objects_v2(Bucket="code", Prefix=key).get("KeyCount"):
            return json.loads(s3.get_object(Bucket="code", Key=key)["Body"].read())
        time.sleep(0.05)
    return None


def test_a_rule_calls_its_function_with_the_whole_event(account: Account) -> None:
    echo = function(ECHO, Timeout=20, Environment={"Variables": {"KEY": "event"}})
    may_put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::code/*"}
    policy = {"PolicyName": "put", "PolicyDocument": {"Version": "2012-10-17", "Statement": [may_put]}}
    resources = {
        "Role": role(Policies=[policy]),
        "Function": echo,
        "Rule": rule({"source": ["mine"], "detail": {"status": ["DONE"]}}),
        "Permission": permission(),
    }
    account.deploy("rules", resources)
    entry = {"Source": "mine", "DetailType": "Change", "Detail": '{"status": "DONE"}', "Resources": ["r"]}
    other = {**entry, "Detail": '{"status": "RUNNING"}'}
    account.client("events").put_events(Entries=[other, entry])
    event = received(account, "event")
    assert event["detail"] == {"status": "DONE"}
    assert event["detail-type"] == "Change"
    assert event["source"] == "mine"
    assert event["account"] == "123456789012"
    assert event["region"] == "us-east-1"
    assert event["resources"] == ["r"]
    assert event["time"].endswith("Z")


def test_a_rule_without_permission_calls_nothing(account: Account) -> None:
    echo = function(ECHO, Timeout=20, Environment={"Variables": {"KEY": "forbidden"}})
    account.deploy("forbidden", {"Role": role(), "Function": echo, "Rule": rule({"source": ["forbidden"]})})
    entry = {"Source": "forbidden", "DetailType": "Change", "Detail": "{}"}
    account.client("events").put_events(Entries=[entry])
    assert received(account, "forbidden", within=1.5) is None
