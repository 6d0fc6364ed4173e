"""What is left when an embedded AWS ends: nothing. And whose things are whose while it runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3

from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.local_aws.account import CODE_BUCKET, Account, function, role

# Says who it is, then takes its time.
SLEEPER = """
import os, subprocess, sys, time, urllib.request
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
def handle(event, context):
    url = f"{os.environ['AWS_ENDPOINT_URL']}/code/pids"
    body = f"{os.getpid()} {child.pid} {os.environ['TMPDIR']}".encode()
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"))
    time.sleep(300)
"""


def test_functions_stacks_files_and_the_server_end_with_it() -> None:
    with LocalAws() as aws:
        account = Account(aws)
        account.client("s3").create_bucket(Bucket=CODE_BUCKET)
        sleeper = function(SLEEPER, Timeout=300)
        custom = {
            "Type": "Custom::Sleeper",
            "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}},
        }
        template = {"Resources": {"Role": role(), "Function": sleeper, "Custom": custom}}
        account.client("cloudformation").create_stack(StackName="asleep", TemplateBody=json.dumps(template))
        deadline = time.monotonic() + 20
        while not account.client("s3").list_objects_v2(Bucket=CODE_BUCKET).get("KeyCount"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        written = account.client("s3").get_object(Bucket=CODE_BUCKET, Key="pids")["Body"].read().decode()
        *pids, folder = written.split()
        assert all(alive(int(pid)) for pid in pids)
        account.close()
        ending = time.monotonic()
    assert time.monotonic() - ending < 10
    assert not any(alive(int(pid)) for pid in pids)
    assert not Path(folder).exists()
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        urllib3.request("GET", aws.endpoint_url, retries=0)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is waited for by nobody does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_next_one_starts_empty_and_there_is_one_at_a_time() -> None:
    for _ in range(2):
        with LocalAws() as aws:
            account = Account(aws)
            account.client("s3").create_bucket(Bucket=CODE_BUCKET)
            assert len(account.client("s3").list_buckets()["Buckets"]) == 1
            with pytest.raises(RuntimeError, match="runs in this process already"), LocalAws():
                pass
            account.close()


def test_the_users_own_aws_settings_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalAws() as aws:
        account = Account(aws)
        cloudformation = account.client("cloudformation")
        monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
        monkeypatch.setenv("HTTP_PROXY", "http://localhost:1")
        body = json.dumps({"Resources": {"Group": {"Type": "AWS::Logs::LogGroup"}}})
        cloudformation.create_stack(StackName="own", TemplateBody=body)
        assert account.settled("own")["StackStatus"] == "CREATE_COMPLETE", account.events("own")
        account.close()


def test_each_account_and_region_has_things_of_its_own() -> None:
    """An agency's account is reached as on AWS: by assuming a role in it."""
    with LocalAws() as aws:
        account = Account(aws)
        other = "arn:aws:iam::210987654321:role/deploy"
        assumed = account.client("sts").assume_role(RoleArn=other, RoleSessionName="test")["Credentials"]
        there = {
            "endpoint_url": aws.endpoint_url,
            "region_name": "ap-southeast-1",
            "aws_access_key_id": assumed["AccessKeyId"],
            "aws_secret_access_key": assumed["SecretAccessKey"],
            "aws_session_token": assumed["SessionToken"],
        }
        make: Any = boto3.client
        clients = {name: make(name, **there) for name in ("cloudformation", "lambda", "s3")}
        code = """
import boto3
def handle(event, context):
    return boto3.client("sts").get_caller_identity()["Account"]
"""
        resources = {
            "Role": role(),
            "Function": function(code, FunctionName="who", Timeout=20),
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "theirs"}},
        }
        body = json.dumps({"Resources": resources})
        clients["cloudformation"].create_stack(StackName="theirs", TemplateBody=body)
        clients["cloudformation"].get_waiter("stack_create_complete").wait(
            StackName="theirs", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        assert json.loads(clients["lambda"].invoke(FunctionName="who")["Payload"].read()) == "210987654321"
        location = clients["s3"].get_bucket_location(Bucket="theirs")["LocationConstraint"]
        assert location == "ap-southeast-1"
        assert account.client("cloudformation").describe_stacks()["Stacks"] == []
        assert account.client("lambda").list_functions()["Functions"] == []
        for client in clients.values():
            client.close()
        account.close()
