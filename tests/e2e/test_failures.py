"""What goes wrong on purpose ends in one clear sentence on the stack and the endpoint, soon after."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.sns.models import sns_backends

from quant_llm.agency import AgencyLock
from quant_llm.paths import ROOT
from quant_llm_tools.demo import ask
from tests.e2e.conftest import ACCOUNT, REGION, Platform

pytestmark = pytest.mark.e2e

LOCK = AgencyLock.read(ROOT / "agencies" / "default.lock.json").models["smollm2-135m"]
(GGUF,) = LOCK.files


def deploy_and_fail(platform: Platform, agency: str) -> list[str]:
    """Deploy and expect a failure and a rollback; returns the reasons of the stack's failed events.

    The reason must be on the stack within 30 s of the start of the resource that failed, and on the screen.
    """
    result = platform.deploy(agency)
    screen = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 1, screen
    assert platform.stack(agency)["StackStatus"] == "ROLLBACK_COMPLETE"
    events = platform.events(agency)
    failed = [event for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert failed
    for event in failed:
        started = min(
            one["Timestamp"] for one in events if one["LogicalResourceId"] == event["LogicalResourceId"]
        )
        assert (event["Timestamp"] - started).total_seconds() < 30
        assert event["ResourceStatusReason"][:60] in screen
    return [event["ResourceStatusReason"] for event in failed]


def objects(platform: Platform) -> set[str]:
    s3 = platform.client("s3")
    return {
        f"{bucket['Name']}/{entry['Key']}"
        for bucket in s3.list_buckets()["Buckets"]
        for entry in s3.list_objects_v2(Bucket=bucket["Name"], Prefix="models/").get("Contents", [])
    }


def change_lock(path: Path, old: str, new: str) -> None:
    lock = path.with_suffix(".lock.json")
    text = lock.read_text()
    assert old in text
    lock.write_text(text.replace(old, new))


def test_wrong_sha256_in_the_lock_fails_the_deploy_and_publishes_nothing(platform: Platform) -> None:
    path = platform.write_agency("wrong-hash")
    wrong = "0" * 64
    change_lock(path, GGUF.sha256, wrong)
    before = objects(platform)
    reasons = deploy_and_fail(platform, "wrong-hash")
    assert any(GGUF.path in reason and wrong in reason and GGUF.sha256 in reason for reason in reasons), (
        reasons
    )
    assert objects(platform) == before
    s3 = platform.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        assert not s3.list_multipart_uploads(Bucket=bucket["Name"]).get("Uploads")


@pytest.mark.parametrize(("status", "said"), [(404, "404"), (401, "401")])
def test_hub_that_refuses_fails_the_deploy_with_its_answer(
    platform: Platform, status: int, said: str
) -> None:
    agency = f"hub-{status}"
    platform.write_agency(agency)
    with platform.aws.hub.faults.failing(f"*/resolve/*{GGUF.path}", status=status):
        reasons = deploy_and_fail(platform, agency)
    assert any(said in reason and GGUF.path in reason for reason in reasons), reasons


def test_hub_that_fails_three_times_and_then_answers_is_no_failure(platform: Platform) -> None:
    platform.write_agency("hub-503")
    with platform.aws.hub.faults.failing(f"*/resolve/*{GGUF.path}", status=503, times=3):
        result = platform.deploy("hub-503")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def reasons_of_a_container_that_exits(platform: Platform) -> list[str]:
    """Of the first deploy of the agency `bad-option`; the second, without the mistake, succeeds."""
    path = platform.write_agency(
        "bad-option",
        ("    scaling:", '    environment: {LLAMA_ARG_CTX_SHIFTS: "1"}\n    scaling:'),
        ("models:\n", "alarms: {notify: [ops@moh.example]}\nmodels:\n"),
    )
    reasons = deploy_and_fail(platform, "bad-option")
    path.write_text(path.read_text().replace("CTX_SHIFTS", "CONTEXT_SHIFT"))
    again = platform.deploy("bad-option")
    assert again.returncode == 0, again.stdout + again.stderr
    return reasons


def test_container_that_exits_at_start_is_the_reason_on_the_stack(
    reasons_of_a_container_that_exits: list[str],
) -> None:
    reasons = reasons_of_a_container_that_exits
    said = "the container ended: llama-server has no option LLAMA_ARG_CTX_SHIFTS"
    assert any(f"WaitCondition received failed message: '{said}" in reason for reason in reasons), reasons
    assert "Resource creation cancelled" in reasons  # the endpoint's own, which has no words of the container


def notices(platform: Platform) -> list[tuple[str, str]]:
    """Subject and text of what was sent to the topics, once nobody watches any more."""
    client = platform.client("stepfunctions")
    arns = [machine["stateMachineArn"] for machine in client.list_state_machines()["stateMachines"]]
    watched = [arn for arn in arns if arn.endswith("-endpoints")]
    deadline = time.monotonic() + 120
    while any(
        client.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"] for arn in watched
    ):
        assert time.monotonic() < deadline, "somebody still watches"
        time.sleep(0.2)
    return [
        (subject or "", text)
        for topic in sns_backends[ACCOUNT][REGION].topics.values()
        for _, text, subject, *_ in topic.sent_notifications
    ]


@pytest.mark.usefixtures("reasons_of_a_container_that_exits")
def test_endpoint_that_fails_is_told_to_people_once(platform: Platform, tmp_path: Path) -> None:
    assert notices(platform) == []  # a deploy that goes well is told to nobody
    name, sagemaker = "bad-option-smollm2-135m", platform.client("sagemaker")
    url = put_archive(platform, tmp_path, "broken", {"README.md": b"no weights here"}, agency="bad-option")
    model = deployed_model(platform, name)
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 0.2})
    sagemaker.create_model(
        ModelName="broken",
        ExecutionRoleArn=model["ExecutionRoleArn"],
        PrimaryContainer={"Image": model["PrimaryContainer"]["Image"], "ModelDataUrl": url},
    )
    sagemaker.create_endpoint_config(EndpointConfigName="broken", ProductionVariants=[variant("broken")])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="broken")
    wait_while(
        lambda: str(sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]), ending="Creating"
    )
    deadline = time.monotonic() + 120
    while not notices(platform):
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(0.2)
    ((subject, text),) = notices(platform)
    assert subject == f"{name} is Failed"
    assert "Instance type: ml.g4dn.xlarge" in text
    assert "The container ended once, the last time because: no " in text
    assert "found README.md" in text
    assert "- wrong file: the files of the lock are not what the engine expects" in text


def test_update_with_a_container_that_exits_is_the_reason_on_the_stack_and_is_taken_back(
    deployed: Platform,
) -> None:
    path = deployed.agencies / "default.yaml"
    before = path.read_text()
    try:
        path.write_text(
            before.replace("    scaling:", '    environment: {LLAMA_ARG_CTX_SHIFTS: "1"}\n    scaling:')
        )
        result = deployed.deploy("default")
    finally:
        path.write_text(before)
    assert result.returncode == 1
    assert deployed.stack("default")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    events = deployed.events("default")
    (failed,) = [
        event
        for event in events
        if event["ResourceType"].endswith("WaitCondition") and "FAILED" in event["ResourceStatus"]
    ]
    assert (
        "the container ended: llama-server has no option LLAMA_ARG_CTX_SHIFTS"
        in failed["ResourceStatusReason"]
    )
    assert "was taken back by SageMaker" in failed["ResourceStatusReason"]
    answer = ask(deployed.client("sagemaker-runtime"), "default-smollm2-135m")
    assert "Paris" in answer["choices"][0]["message"]["content"]


def put_archive(
    platform: Platform, folder: Path, name: str, files: dict[str, bytes], *, agency: str = "default"
) -> str:
    """Upload a model.tar.gz of these files by hand; returns its URL."""
    archive = folder / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for file, content in files.items():
            (folder / file).write_bytes(content)
            tar.add(folder / file, file)
    bucket = platform.outputs(agency)["ModelBucketName"]
    key = f"models/smollm2-135m/by-hand-{name}/model.tar.gz"  # where the endpoint's role may read
    platform.client("s3").upload_file(str(archive), bucket, key)
    return f"s3://{bucket}/{key}"


def deployed_model(platform: Platform, endpoint: str = "default-smollm2-135m") -> dict[str, Any]:
    """The Model behind an endpoint."""
    sagemaker = platform.client("sagemaker")
    configuration = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=configuration)["ProductionVariants"]
    model: dict[str, Any] = sagemaker.describe_model(ModelName=variant["ModelName"])
    return model


def variant(model_name: object) -> dict[str, object]:
    return {
        "VariantName": "AllTraffic",
        "ModelName": model_name,
        "InstanceType": "ml.g4dn.xlarge",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 1,
    }


def wait_while(read: Callable[[], str], *, ending: str) -> str:
    """Wait while the status has this ending, 120 s at most; returns the next one."""
    started = time.monotonic()
    while (status := read()).endswith(ending):
        assert time.monotonic() - started < 120
        time.sleep(0.2)
    return status


def reason_of_failure(platform: Platform, name: str, url: str) -> str:
    """Why an endpoint of the deployed image and role fails with other model data."""
    model, sagemaker = deployed_model(platform), platform.client("sagemaker")
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=model["ExecutionRoleArn"],
        PrimaryContainer={"Image": model["PrimaryContainer"]["Image"], "ModelDataUrl": url},
    )
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    status = wait_while(
        lambda: str(sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]), ending="Creating"
    )
    reason = sagemaker.describe_endpoint(EndpointName=name)["FailureReason"]
    sagemaker.delete_endpoint(EndpointName=name)
    assert status == "Failed"
    return str(reason)


@contextmanager
def without_policies(platform: Platform, role: str) -> Iterator[None]:
    """A role of which somebody has taken all inline policies."""
    iam = platform.client("iam")
    policies = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    for name in policies:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        yield
    finally:
        for name, document in policies.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def test_endpoint_whose_role_lost_its_grants_fails_and_says_which(deployed: Platform) -> None:
    model = deployed_model(deployed)
    url = model["PrimaryContainer"]["ModelDataUrl"]
    with without_policies(deployed, model["ExecutionRoleArn"].rpartition("/")[2]):
        reason = reason_of_failure(deployed, "no-grants", url)
    assert reason.startswith(f"Could not access model data at {url}. Please ensure that the role ")
    assert "is not authorized to perform: s3:GetObject on resource" in reason


UNCLEAR_MODELS = pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": b"no weights here"}, "README.md"),
        ({"a.Q4_1.gguf": b"GGUF", "b.Q8_0.gguf": b"GGUF"}, "a.Q4_1.gguf"),
    ],
    ids=["gguf-missing", "two-ggufs-and-no-MODEL"],
)


@UNCLEAR_MODELS
def test_artifact_without_one_clear_model_is_the_reason_on_the_endpoint(
    deployed: Platform, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    name = f"endpoint-{len(files)}"
    url = put_archive(deployed, tmp_path, name, files)
    reason = reason_of_failure(deployed, name, url)
    assert said in reason
    assert "exited with code 3" in reason


@UNCLEAR_MODELS
def test_artifact_without_one_clear_model_is_the_reason_on_the_stack(
    deployed: Platform, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    name = f"stack-{len(files)}"
    url = put_archive(deployed, tmp_path, name, files)
    model = deployed_model(deployed)
    template = {
        "Resources": {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": model["ExecutionRoleArn"],
                    "PrimaryContainer": {"Image": model["PrimaryContainer"]["Image"], "ModelDataUrl": url},
                },
            },
            "Configuration": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {"ProductionVariants": [variant({"Fn::GetAtt": ["Model", "ModelName"]})]},
            },
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {"EndpointConfigName": {"Fn::GetAtt": ["Configuration", "EndpointConfigName"]}},
            },
        }
    }
    cloudformation = deployed.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    status = wait_while(
        lambda: str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]),
        ending="IN_PROGRESS",
    )
    reasons = [
        event["ResourceStatusReason"]
        for event in cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        if event["LogicalResourceId"] == "Endpoint" and event["ResourceStatus"] == "CREATE_FAILED"
    ]
    assert status == "ROLLBACK_COMPLETE"
    assert said in reasons[0]
    assert "exited with code 3" in reasons[0]
