"""The real CDK CLI on the embedded AWS: bootstrap, create, no-op, update, rollback, destroy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.local_aws.account import REGION, Account

pytestmark = pytest.mark.e2e

ACCOUNT = "123456789012"
HANDLER = """
import json, urllib.request
def handle(event, context):
    body = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    greeting = event["ResourceProperties"]["Greeting"]
    good = greeting != "bad"
    body |= {"Status": "SUCCESS" if good else "FAILED", "Reason": "that is no greeting"}
    body |= {"PhysicalResourceId": "greeter", "Data": {"Answer": f"{greeting} to you"}}
    data = json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], data, method="PUT"))
"""

Synth = Callable[..., str]


class Greeting(cdk.Stack):
    """A bucket, a topic, and a custom resource by a function from an asset."""

    def __init__(self, app: cdk.App, code: Path, *, greeting: str, topic: str, unknown: bool) -> None:
        super().__init__(app, "Greeting", env=cdk.Environment(account=ACCOUNT, region=REGION))
        cdk.Tags.of(self).add("team", "ml")
        bucket = s3.Bucket(self, "Bucket", versioned=True, removal_policy=cdk.RemovalPolicy.DESTROY)
        function = lambda_.Function(
            self,
            "Greeter",
            code=lambda_.Code.from_asset(str(code)),
            handler="handler.handle",
            runtime=lambda_.Runtime.PYTHON_3_13,
            log_group=logs.LogGroup(self, "Logs", removal_policy=cdk.RemovalPolicy.DESTROY),
            environment={"BUCKET": bucket.bucket_name},
        )
        bucket.grant_read(iam.Role(self, "Reader", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com")))
        sns.Topic(self, "Topic", topic_name=topic)
        custom = cdk.CustomResource(
            self,
            "Custom",
            service_token=function.function_arn,
            resource_type="Custom::Greeting",
            properties={"Greeting": greeting},
        )
        cdk.CfnOutput(self, "Answer", value=custom.get_att_string("Answer"))
        if unknown:
            job = cdk.CfnResource(self, "Job", type="AWS::Glue::Job", properties={"Role": "x"})
            job.node.add_dependency(custom)


@pytest.fixture(scope="module")
def cdk_account() -> Iterator[Account]:
    with LocalAws() as aws:
        account = Account(aws)
        result = run_cdk(aws, "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", "")
        assert result.returncode == 0, result.stdout + result.stderr
        yield account
        account.close()


@pytest.fixture
def synth(tmp_path: Path) -> Synth:
    """Writes a cloud assembly and returns its folder."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "handler.py").write_text(HANDLER)

    def write(greeting: str, topic: str, *, unknown: bool = False) -> str:
        outdir = str(tmp_path / f"{greeting}-{topic}-{unknown}")
        app = cdk.App(outdir=outdir, analytics_reporting=False)
        Greeting(app, code, greeting=greeting, topic=topic, unknown=unknown)
        app.synth()
        return outdir

    return write


def deploy(account: Account, assembly: str, *more: str) -> subprocess.CompletedProcess[str]:
    return run_cdk(account.aws, "deploy", "--all", "--app", assembly, "--require-approval", "never", *more)


def run_cdk(aws: LocalAws, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**kept, **aws.environment(), "CI": "true", "CDK_DISABLE_CLI_TELEMETRY": "true"}
    environment["PATH"] = f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"
    # Away from this checkout's cdk.json.
    return subprocess.run(
        [str(programs / "cdk"), *arguments, "--no-notices"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_stack_lives_from_its_creation_to_its_end(cdk_account: Account, synth: Synth) -> None:
    failed = deploy(cdk_account, synth("hello", "one", unknown=True))
    assert failed.returncode == 1
    assert "the embedded AWS does not create AWS::Glue::Job" in printed(failed)
    assert cdk_account.stack("Greeting")["StackStatus"] == "ROLLBACK_COMPLETE"

    first = synth("hello", "one")
    created = deploy(cdk_account, first)
    assert created.returncode == 0, created.stderr
    assert "Greeting.Answer = hello to you" in printed(created)
    assert cdk_account.stack("Greeting")["StackStatus"] == "CREATE_COMPLETE"
    assert {"Key": "team", "Value": "ml"} in cdk_account.stack("Greeting")["Tags"]

    events = len(cdk_account.events("Greeting"))
    same = deploy(cdk_account, first, "--force")  # without it the CLI compares the templates itself
    assert same.returncode == 0, same.stderr
    assert "no changes" in printed(same)
    assert len(cdk_account.events("Greeting")) == events

    updated = deploy(cdk_account, synth("welcome", "two"), "--method", "direct")
    assert updated.returncode == 0, updated.stderr
    assert cdk_account.outputs("Greeting")["Answer"] == "welcome to you"
    assert topics(cdk_account) == ["two"]

    failed = deploy(cdk_account, synth("bad", "three"))
    assert failed.returncode == 1
    assert "that is no greeting" in printed(failed)
    assert cdk_account.stack("Greeting")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cdk_account.outputs("Greeting")["Answer"] == "welcome to you"
    assert topics(cdk_account) == ["two"]

    destroyed = run_cdk(cdk_account.aws, "destroy", "Greeting", "--force", "--app", first)
    assert destroyed.returncode == 0, destroyed.stderr
    assert stacks(cdk_account) == ["CDKToolkit"]
    assert topics(cdk_account) == []


def printed(result: subprocess.CompletedProcess[str]) -> str:
    """All that a command printed, in one line: the CLI breaks them at the terminal's width."""
    return " ".join((result.stdout + result.stderr).split())


def topics(account: Account) -> list[str]:
    return [entry["TopicArn"].rpartition(":")[2] for entry in account.client("sns").list_topics()["Topics"]]


def stacks(account: Account) -> list[str]:
    return [stack["StackName"] for stack in account.client("cloudformation").describe_stacks()["Stacks"]]
