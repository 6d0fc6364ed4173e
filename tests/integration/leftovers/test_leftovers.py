"""A first deploy fails and leaves its bucket and key; the printed commands remove them, and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.local_aws.account import Account, arn_of

Json = Any
FILE = str(ROOT / "agencies" / "default.yaml")
STACK = "QuantLlmStack"
TAGS = [{"Key": "agency", "Value": "default"}]
LET_IN = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
    "Resource": "*",
}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with LocalAws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        account = Account(aws)
        yield account
        account.close()


def template(*, failing: bool) -> dict[str, Json]:
    """The kept part of the product's stack, and a resource that can't be made."""
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    rule = {
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn_of("ModelsKey")}
    }
    resources: dict[str, Json] = {
        "ModelsKey": kept
        | {
            "Type": "AWS::KMS::Key",
            "Properties": {
                "Description": f"Model artifacts of {STACK}",
                "KeyPolicy": {"Version": "2012-10-17", "Statement": [LET_IN]},
                "Tags": TAGS,
            },
        },
        "Models": kept
        | {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]},
                "VersioningConfiguration": {"Status": "Enabled"},
                "Tags": TAGS,
            },
        },
    }
    if failing:
        resources["Sick"] = {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": "No Such Name"},
            "DependsOn": ["Models"],
        }
    return resources


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Json]]:
    capsys.readouterr()
    assert main(["leftovers", FILE, "--json"]) == 0
    (agency,) = json.loads(capsys.readouterr().out)["agencies"]
    found: list[dict[str, Json]] = agency["leftovers"]
    return found


def run_as_printed(command: str, directory: Path) -> None:
    """The command in a shell, with an `aws` that knows what it needs."""
    program = directory / "aws"
    code = shlex.join([sys.executable, str(Path(__file__).with_name("aws_cli.py"))])
    program.write_text(f'#!/bin/sh\nexec {code} "$@"\n')
    program.chmod(0o755)
    path = f"{directory}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_a_failed_first_deploy_leaves_is_listed_and_removed_by_the_printed_commands(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys) == []
    assert account.deploy(STACK, template(failing=True))["StackStatus"] == "ROLLBACK_COMPLETE"
    made = {event["LogicalResourceId"]: event["PhysicalResourceId"] for event in account.events(STACK)}
    bucket, key = made["Models"], made["ModelsKey"]
    s3 = account.client("s3")
    for body in (b"weights", b"weights again"):
        s3.put_object(Bucket=bucket, Key="models/a", Body=body)
    s3.put_object(Bucket=bucket, Key="models/b", Body=b"other weights")
    s3.delete_object(Bucket=bucket, Key="models/b")
    found = listed(capsys)
    assert [(one["type"], one["name"], one["usd_per_month"]) for one in found] == [
        ("bucket", bucket, None),
        ("key", key, 1.0),
    ]
    assert found[0]["holds"] == "3 object versions, 33 bytes"

    # The next deploy makes a pair of its own, which is nobody's leftover.
    account.destroy(STACK)
    assert account.deploy(STACK, template(failing=False))["StackStatus"] == "CREATE_COMPLETE"
    assert listed(capsys) == found

    for one in found:
        for command in one["commands"]:
            run_as_printed(command, tmp_path)
    assert listed(capsys) == []
    buckets = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert bucket not in buckets
    assert account.physical_id(STACK, "Models") in buckets
    metadata = account.client("kms").describe_key(KeyId=key)["KeyMetadata"]
    assert metadata["KeyState"] == "PendingDeletion"


def test_credentials_of_another_account_are_refused(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(Path(FILE).read_text().replace("123456789012", "210987654321"))
    assert main(["leftovers", str(path)]) == 1
    assert "are of account 123456789012, expected 210987654321" in capsys.readouterr().err
