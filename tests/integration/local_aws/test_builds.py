"""CodeBuild: the context becomes an image, the log says that nothing was built, the end is announced."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm_tools.local_aws import images
from tests.integration.local_aws.account import CODE_BUCKET, Account, arn_of, function, role

Json = Any


def source(account: Account, key: str, *names: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, "FROM scratch")
    account.client("s3").put_object(Bucket=CODE_BUCKET, Key=key, Body=archive.getvalue())


def project(key: str, **variables: Json) -> Json:
    environment = {
        "Type": "LINUX_CONTAINER",
        "ComputeType": "BUILD_GENERAL1_XLARGE",
        "Image": "aws/codebuild/amazonlinux2-x86_64-standard:5.0",
        "PrivilegedMode": True,
        "EnvironmentVariables": [
            {"Name": name, "Value": value, "Type": "PLAINTEXT"} for name, value in variables.items()
        ],
    }
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "ServiceRole": arn_of("Role"),
            "Source": {"Type": "S3", "Location": f"{CODE_BUCKET}/{key}", "BuildSpec": '{"version": "0.2"}'},
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Cache": {"Type": "NO_CACHE"},
            "Environment": environment,
            "TimeoutInMinutes": 55,
            "EncryptionKey": "alias/own",
        },
    }


def deploy(account: Account, stack: str, key: str, **more: Json) -> dict[str, str]:
    repository = {"Type": "AWS::ECR::Repository", "Properties": {"ImageTagMutability": "IMMUTABLE"}}
    uri = {"Fn::GetAtt": ["Repository", "RepositoryUri"]}
    variables = {"DOCKERFILE": "llamacpp/Dockerfile", "REPOSITORY_URI": uri, "IMAGE_TAG": "t1"}
    resources = {
        "Role": role("codebuild.amazonaws.com"),
        "Repository": repository,
        "Project": project(key, **variables),
        **more,
    }
    outputs = {"Project": {"Value": {"Ref": "Project"}}, "Uri": {"Value": uri}}
    result = account.deploy(stack, resources, Outputs=outputs)
    assert result["StackStatus"].endswith("E_COMPLETE"), account.events(stack)
    return account.outputs(stack)


def build(account: Account, project_name: str, **override: str) -> dict[str, Json]:
    codebuild = account.client("codebuild")
    variables = [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in override.items()]
    started = codebuild.start_build(projectName=project_name, environmentVariablesOverride=variables)["build"]
    assert started["buildStatus"] == "IN_PROGRESS"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        (described,) = codebuild.batch_get_builds(ids=[started["id"]])["builds"]
        if described["buildComplete"]:
            return dict(described)
        time.sleep(0.02)
    raise AssertionError(described)


def test_a_build_registers_the_context_and_puts_the_image_under_its_tag(account: Account) -> None:
    source(account, "good.zip", "llamacpp/Dockerfile", "sagemaker/serve.py")
    outputs = deploy(account, "good", "good.zip")
    ended = build(account, outputs["Project"], IMAGE_TAG="t2", QUANTLLM_CFN_REQUEST_ID="r")
    assert ended["buildStatus"] == "SUCCEEDED"
    variables = {entry["name"]: entry["value"] for entry in ended["environment"]["environmentVariables"]}
    assert variables["IMAGE_TAG"] == "t2"
    assert variables["QUANTLLM_CFN_REQUEST_ID"] == "r"
    assert variables["DOCKERFILE"] == "llamacpp/Dockerfile"
    assert [phase["phaseType"] for phase in ended["phases"]][-1] == "COMPLETED"

    (image,) = account.client("ecr").describe_images(
        repositoryName=outputs["Uri"].partition("/")[2], imageIds=[{"imageTag": "t2"}]
    )["imageDetails"]
    local = images.resolve(f"{outputs['Uri']}@{image['imageDigest']}")
    assert local is not None
    assert local == images.resolve(f"{outputs['Uri']}:t2")
    assert (local.context / "sagemaker" / "serve.py").is_file()

    log = account.client("logs").get_log_events(
        logGroupName=ended["logs"]["groupName"], logStreamName=ended["logs"]["streamName"]
    )["events"]
    assert (
        "the embedded AWS does not build images; it serves the entrypoint of this build context"
        " with llama.cpp from the xllamacpp package"
    ) in [event["message"] for event in log]
    # The repository's tags are immutable.
    again = build(account, outputs["Project"], IMAGE_TAG="t2")
    assert again["buildStatus"] == "FAILED"
    assert "t2" in str(again["phases"])


@pytest.mark.parametrize(
    ("key", "phase", "message"),
    [
        ("no-dockerfile.zip", "PRE_BUILD", "there is no Dockerfile llamacpp/Dockerfile in the source"),
        ("missing.zip", "DOWNLOAD_SOURCE", "The specified key does not exist"),
    ],
)
def test_a_build_that_cannot_be_done_fails_in_its_phase(
    account: Account, key: str, phase: str, message: str
) -> None:
    source(account, "no-dockerfile.zip", "exllamav2/Dockerfile")
    outputs = deploy(account, key.split(".")[0], key)
    ended = build(account, outputs["Project"])
    assert ended["buildStatus"] == "FAILED"
    (failed,) = [entry for entry in ended["phases"] if entry.get("phaseStatus") == "FAILED"]
    assert failed["phaseType"] == phase
    assert message in failed["contexts"][0]["message"]


def test_the_same_token_starts_one_build(account: Account) -> None:
    source(account, "once.zip", "llamacpp/Dockerfile")
    name = deploy(account, "once", "once.zip")["Project"]
    start = account.client("codebuild").start_build
    ids = {start(projectName=name, idempotencyToken="a")["build"]["id"] for _ in range(3)}
    assert len(ids) == 1
    with pytest.raises(ClientError, match="Project cannot be found"):
        start(projectName="nothing")


def test_a_project_is_updated_in_place_and_keeps_its_settings(account: Account) -> None:
    source(account, "new.zip", "llamacpp/Dockerfile")
    name = deploy(account, "renewed", "old.zip")["Project"]
    assert deploy(account, "renewed", "new.zip")["Project"] == name
    (described,) = account.client("codebuild").batch_get_projects(names=[name])["projects"]
    assert described["source"]["location"] == f"{CODE_BUCKET}/new.zip"
    assert described["encryptionKey"] == "alias/own"
    assert described["environment"]["computeType"] == "BUILD_GENERAL1_XLARGE"
    assert build(account, name)["buildStatus"] == "SUCCEEDED"


def test_the_end_of_a_build_is_announced_to_rules(account: Account) -> None:
    source(account, "told.zip", "llamacpp/Dockerfile")
    code = """
import json, os, urllib.request
def handle(event, context):
    url = os.environ["AWS_ENDPOINT_URL"] + "/code/announced"
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode(), headers, method="PUT"))
"""
    statuses = ["SUCCEEDED", "FAILED"]
    pattern = {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": [{"Ref": "Project"}], "build-status": statuses},
    }
    name = deploy(
        account,
        "told",
        "told.zip",
        FunctionRole=role(),
        Function=function(code, Timeout=10, Role=arn_of("FunctionRole")),
        Rule={
            "Type": "AWS::Events::Rule",
            "Properties": {"EventPattern": pattern, "Targets": [{"Id": "t", "Arn": arn_of("Function")}]},
        },
        Permission={
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": arn_of("Function"),
                "Principal": "events.amazonaws.com",
                "SourceArn": arn_of("Rule"),
            },
        },
    )["Project"]
    ended = build(account, name)
    s3, deadline = account.client("s3"), time.monotonic() + 10
    while not s3.list_objects_v2(Bucket=CODE_BUCKET, Prefix="announced").get("KeyCount"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    event = json.loads(s3.get_object(Bucket=CODE_BUCKET, Key="announced")["Body"].read())
    assert event["detail-type"] == "CodeBuild Build State Change"
    assert event["detail"]["build-id"] == ended["arn"]
    assert event["detail"]["build-status"] == "SUCCEEDED"
    assert event["detail"]["project-name"] == name
    assert event["detail"]["additional-information"]["logs"]["stream-name"] == ended["logs"]["streamName"]
    assert account.client("codebuild").batch_get_builds(ids=[ended["arn"]])["builds"]
