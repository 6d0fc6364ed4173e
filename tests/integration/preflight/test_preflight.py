"""`quantllm preflight` against the embedded AWS and the stand-in of the hub, as it is run by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws.server import LocalAws
from quant_llm_tools.preflight.aws import BOOTSTRAP_PARAMETER
from tests.integration.local_aws.account import Account

Json = Any
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/approved:v1"
VALUE = "hf_a-value-that-nobody-reads"


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalAws() as aws:
        account = Account(aws)
        yield account
        account.close()


@pytest.fixture
def agency(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default agency with everything that is looked for, and credentials of the embedded AWS."""
    for name, value in account.aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    text = (ROOT / "agencies" / "default.yaml").read_text()
    for old, new in (
        ("models:", f"permissions_boundary: {BOUNDARY}\nmodels:"),
        ("    engine: llama.cpp", f"      token_secret: hf/token\n    engine: llama.cpp\n    image: {IMAGE}"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "default.yaml"
    path.write_text(text)
    lock = (ROOT / "agencies" / "default.lock.json").read_text()
    path.with_suffix(".lock.json").write_text(lock)
    return path


def run(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Json]]:
    code = main(["preflight", str(path), "--json"])
    (agency,) = json.loads(capsys.readouterr().out)["agencies"]
    return code, {check["check"]: check for check in agency["checks"]}


def test_an_empty_account_lacks_what_the_file_names_and_a_full_one_is_well(
    account: Account, agency: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = run(agency, capsys)
    assert code == 1
    wrong = {name for name, check in checks.items() if check["status"] == "fix"}
    assert wrong == {"bootstrap", "boundary", "image", "secret"}
    assert all(checks[name]["to_do"] for name in wrong)

    account.client("ssm").put_parameter(Name=BOOTSTRAP_PARAMETER, Value="30", Type="String")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.client("iam").create_policy(PolicyName="boundary", PolicyDocument=document)
    account.client("ecr").create_repository(repositoryName="approved")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": "sha256:" + "a" * 64, "size": 1},
        "layers": [],
    }
    account.client("ecr").put_image(
        repositoryName="approved", imageTag="v1", imageManifest=json.dumps(manifest)
    )
    account.client("secretsmanager").create_secret(Name="hf/token", SecretString=VALUE)
    code, checks = run(agency, capsys)
    assert (code, {check["status"] for check in checks.values()}) == (0, {"ok"}), checks
    assert VALUE not in json.dumps(checks)
    assert checks["quota"]["found"] == "the quota is 20"

    assert main(["preflight", str(agency)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "8 ok, 0 to fix, 0 could not be checked"

    account.client("secretsmanager").delete_secret(SecretId="hf/token")
    assert run(agency, capsys)[1]["secret"]["status"] == "fix"


def test_more_instances_than_the_quota_and_a_type_that_no_region_hosts(
    agency: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = agency.read_text()
    agency.write_text(text.replace("max: 2", "max: 21"))
    _, checks = run(agency, capsys)
    assert checks["quota"]["to_do"].startswith("request 21 in Service Quotas for `ml.g4dn.xlarge for ")
    agency.write_text(text.replace("ml.g4dn.xlarge", "ml.m5.large"))
    _, checks = run(agency, capsys)
    assert checks["hosting"]["found"] == "Service Quotas has no such type for endpoints"


def test_a_commit_that_the_hub_does_not_have_is_told(
    agency: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = agency.with_suffix(".lock.json")
    lock.write_text(lock.read_text().replace('"commit": "ab', '"commit": "00'))
    _, checks = run(agency, capsys)
    assert checks["hub"]["status"] == "fix"
    assert "has no revision" in checks["hub"]["found"]
    assert checks["hub"]["to_do"] == "run `quantllm lock` and commit the lock"


def test_without_credentials_a_deploy_is_not_said_to_go_through(
    agency: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    code, checks = run(agency, capsys)
    assert code == 1
    assert checks["credentials"]["found"].startswith("sts:GetCallerIdentity: Unable to locate credentials")
    assert checks["credentials"]["status"] == "fix"
    assert "AWS_PROFILE" in checks["credentials"]["to_do"]
    assert set(checks) == {"credentials", "hub"}
