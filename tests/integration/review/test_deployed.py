"""`quantllm review --deployed`: the working tree against what the embedded AWS has."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws.server import LocalAws
from quant_llm_tools.review.deployed import read_deployed
from quant_llm_tools.review.sides import Environment
from tests.integration.local_aws.account import Account

STACK = "QuantLlmStack"
HERE = Environment("123456789012", "us-east-1")
BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "of-an-older-version"}}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalAws() as aws:
        account = Account(aws)
        account.deploy(STACK, {"OldBucket": BUCKET})
        yield account
        account.close()


@pytest.fixture(autouse=True)
def _credentials(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account.aws.environment().items():
        monkeypatch.setenv(name, value)


def test_live_templates_are_read_and_what_is_not_there_has_none() -> None:
    live = read_deployed({STACK: HERE, "QuantLlmStack-new": HERE})
    assert dict(live.templates) == {STACK: {"Resources": {"OldBucket": BUCKET}}}
    assert (live.drift, live.notes, live.unseen) == ((), (), frozenset())


def test_a_stack_of_another_account_is_left_out_and_named() -> None:
    live = read_deployed({STACK: Environment("999999999999", "us-east-1")})
    assert live.unseen == {STACK}
    assert live.notes == (
        f"{STACK} is of account 999999999999, and the credentials are of 123456789012: it is left out",
    )


def test_no_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(QuantLlmError, match="--deployed: can't read the live stacks: Unable to locate"):
        read_deployed({STACK: HERE})


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own with the app as it is here."""
    shutil.copytree(
        ROOT,
        tmp_path / "app",
        ignore=shutil.ignore_patterns(".*", "node_modules", "tests", "docs", "benchmarks", "cdk.out"),
    )
    directory = tmp_path / "app"
    for command in (["init", "--quiet"], ["add", "agencies"], ["commit", "--quiet", "--message", "agencies"]):
        name = ["-c", "user.name=x", "-c", "user.email=x@example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *command], cwd=directory, check=True)
    monkeypatch.chdir(directory)
    return directory


def test_the_command_tells_what_a_deploy_of_the_working_tree_does_to_the_live_stack(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "review.json"
    code = main(
        [
            *("review", "--deployed", "--format", "json", "--output", str(output)),
            *("--fail-on", "stateful-removed"),
        ]
    )
    document: dict[str, Any] = json.loads(output.read_text())
    assert (code, document["exit"]) == (3, 3)
    (removed,) = [one for one in document["changes"] if one["class"] == "stateful-removed"]
    assert removed["stacks"] == [STACK]
    assert "OldBucket" in removed["resource"]
    assert removed["gate"] == {"blocks": True}
    assert document["drift"] == []
    assert document["cost"]["default"]["before"]["unknown"].startswith("a live stack does not hold")
    assert document["cost"]["default"]["after"]["at_min"] > 0
    assert "reading 1 live stacks" in capsys.readouterr().err
