"""An endpoint comes up, answers, changes over and goes away, and says why when it can't."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm_tools.local_aws import hosting, waiting
from tests.integration.hosting.embedded import BUCKET, REGION, EmbeddedAws


def invoke(aws: EmbeddedAws, endpoint: str, request: dict[str, Any] | None = None) -> Any:
    runtime = aws.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, Body=json.dumps(request or {}), ContentType="application/json"
    )
    return json.loads(answer["Body"].read())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Any, *, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_container_gets_the_model_read_only_and_its_own_environment_alone(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "must not leak")
    url = aws.put_model({"model.gguf": b"weights", "sub/config.json": b"{}"})
    description = aws.deploy(
        "one", url=url, environment={"FAKE_GREETING": "hello from the model", "MODEL": "x"}
    )

    assert description["EndpointStatus"] == "InService"
    assert "FailureReason" not in description
    seen = invoke(aws, "one")
    assert seen["arguments"] == ["serve"]
    assert seen["path"] == "/invocations"
    assert seen["files"] == {"model.gguf": ["0o444", "weights"], "sub/config.json": ["0o444", "{}"]}
    environment = seen["environment"]
    assert environment["FROM_IMAGE"] == "yes"
    assert environment["FAKE_GREETING"] == "hello from the model"
    assert environment["LLAMA_ARG_THREADS"] == "1"
    assert environment["AWS_REGION"] == REGION
    assert not {"SECRET_OF_THE_SERVER", "AWS_ACCESS_KEY_ID", "VIRTUAL_ENV"} & set(environment)


def test_description_shows_the_counts_and_the_images(aws: EmbeddedAws) -> None:
    description = aws.deploy("one", url=None, InitialInstanceCount=3)
    (variant,) = description["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["CurrentInstanceCount"]) == (3, 3)
    assert variant["DeployedImages"][0]["ResolvedImage"].startswith(
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/fake@sha256:"
    )
    assert any("one container, whatever the instance count" in line for line in aws.log_lines("one"))


def test_container_that_exits_fails_the_endpoint_at_once_with_its_last_words(aws: EmbeddedAws) -> None:
    started = time.monotonic()
    description = aws.deploy("one", url=None, environment={"FAKE_MODE": "exit"})
    assert time.monotonic() - started < 5
    assert description["EndpointStatus"] == "Failed"
    assert description["FailureReason"] == (
        "The primary container for production variant AllTraffic did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint. "
        "Container exited with code 3: no model here: found nothing"
    )
    assert "starting as exit" in aws.log_lines("one")


def test_missing_model_data_fails_the_endpoint(aws: EmbeddedAws) -> None:
    description = aws.deploy("one", url=f"s3://{BUCKET}/nothing/model.tar.gz")
    assert description["EndpointStatus"] == "Failed"
    assert description["FailureReason"] == "Could not find model data at s3://models/nothing/model.tar.gz."


def test_files_under_a_prefix_are_the_model_as_they_are(aws: EmbeddedAws) -> None:
    for name, content in {"model.gguf": b"weights", "sub/config.json": b"{}", "empty": b""}.items():
        aws.put_object(content, f"m/files/{name}")
    aws.put_object(b"{}", "m/files.manifest.json")
    source = {"S3Uri": f"s3://{BUCKET}/m/files/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    assert aws.deploy("one", source=source)["EndpointStatus"] == "InService"
    assert invoke(aws, "one")["files"] == {
        "empty": ["0o444", ""],
        "model.gguf": ["0o444", "weights"],
        "sub/config.json": ["0o444", "{}"],
    }


def test_an_archive_may_be_named_as_a_data_source_too(aws: EmbeddedAws) -> None:
    url = aws.put_model({"model.gguf": b"weights"})
    source = {"S3Uri": url, "S3DataType": "S3Object", "CompressionType": "Gzip"}
    assert aws.deploy("one", source=source)["EndpointStatus"] == "InService"
    assert list(invoke(aws, "one")["files"]) == ["model.gguf"]


def test_a_data_source_that_is_not_understood_fails_the_endpoint(aws: EmbeddedAws) -> None:
    source = {"S3Uri": f"s3://{BUCKET}/m/files", "S3DataType": "S3Prefix", "CompressionType": "None"}
    description = aws.deploy("one", source=source)
    assert description["EndpointStatus"] == "Failed"
    assert "an S3Uri that ends in a slash" in description["FailureReason"]


@pytest.mark.parametrize("content", [b"not an archive", b""], ids=["junk", "empty"])
def test_corrupt_archive_fails_the_endpoint(aws: EmbeddedAws, content: bytes) -> None:
    description = aws.deploy("one", url=aws.put_object(content, "model.tar.gz"))
    assert description["EndpointStatus"] == "Failed"
    assert "is a valid tar.gz archive" in description["FailureReason"]


def test_truncated_archive_fails_the_endpoint(aws: EmbeddedAws) -> None:
    url = aws.put_model({"model.gguf": os.urandom(300_000)})
    whole = aws.client("s3").get_object(Bucket=BUCKET, Key="model.tar.gz")["Body"].read()
    aws.put_object(whole[: len(whole) // 2], "model.tar.gz")
    description = aws.deploy("one", url=url)
    assert description["EndpointStatus"] == "Failed"
    assert "unexpected end of file" in description["FailureReason"]


def test_unknown_image_fails_the_endpoint(aws: EmbeddedAws) -> None:
    description = aws.deploy("one", url=None, image="123456789012.dkr.ecr.us-east-1.amazonaws.com/other:2")
    assert description["EndpointStatus"] == "Failed"
    assert (
        "The image '123456789012.dkr.ecr.us-east-1.amazonaws.com/other:2' does not exist"
        in (description["FailureReason"])
    )


def test_failed_endpoint_can_be_deleted_and_made_again(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None, environment={"FAKE_MODE": "exit"})
    sagemaker = aws.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName="one")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="one", WaiterConfig={"Delay": 1})
    sagemaker.delete_endpoint_config(EndpointConfigName="one")
    sagemaker.delete_model(ModelName="one")
    assert aws.deploy("one", url=None)["EndpointStatus"] == "InService"


def test_update_brings_the_new_configuration_into_a_new_container(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None, environment={"LLAMA_ARG_CTX_SIZE": "2048"})
    before = invoke(aws, "one")
    aws.configure("two", url=None, environment={"LLAMA_ARG_CTX_SIZE": "4096"})
    aws.client("sagemaker").update_endpoint(EndpointName="one", EndpointConfigName="two")
    description = aws.settle("one")

    assert description["EndpointStatus"] == "InService"
    assert description["EndpointConfigName"] == "two"
    after = invoke(aws, "one")
    assert after["environment"]["LLAMA_ARG_CTX_SIZE"] == "4096"
    wait_until(lambda: not is_running(before["pid"]))
    assert is_running(after["pid"])


def test_old_container_answers_while_the_new_one_starts(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    aws.configure("two", url=None, environment={"FAKE_MODE": "never-healthy"})
    aws.client("sagemaker").update_endpoint(EndpointName="one", EndpointConfigName="two")
    description = aws.client("sagemaker").describe_endpoint(EndpointName="one")
    assert description["EndpointStatus"] == "Updating"
    assert invoke(aws, "one")["environment"].get("FAKE_MODE") is None


def test_failed_update_keeps_the_old_container_and_says_why(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    pid = invoke(aws, "one")["pid"]
    aws.configure("two", url=None, environment={"FAKE_MODE": "exit"})
    aws.client("sagemaker").update_endpoint(EndpointName="one", EndpointConfigName="two")
    description = aws.settle("one")

    assert description["EndpointStatus"] == "InService"
    assert description["EndpointConfigName"] == "one"
    assert "Container exited with code 3" in description["FailureReason"]
    assert invoke(aws, "one")["pid"] == pid
    with pytest.raises(waiting.ResourceFailed, match="Container exited with code 3"):
        waiting.WAITERS["AWS::SageMaker::Endpoint"](description["EndpointArn"], REGION)


def test_waiter_blocks_until_the_endpoint_is_in_service(aws: EmbeddedAws) -> None:
    aws.configure("one", url=None)
    arn = aws.client("sagemaker").create_endpoint(EndpointName="one", EndpointConfigName="one")["EndpointArn"]
    waiting.WAITERS["AWS::SageMaker::Endpoint"](arn, REGION)
    status = aws.client("sagemaker").describe_endpoint(EndpointName="one")["EndpointStatus"]
    assert status == "InService"


@pytest.mark.parametrize(("retain", "expected"), [(True, 5), (False, 1)])
def test_update_keeps_the_instance_count_only_when_told_to(
    aws: EmbeddedAws, retain: bool, expected: int
) -> None:
    aws.deploy("one", url=None)
    sagemaker = aws.client("sagemaker")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="one",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 5}],
    )
    assert aws.settle("one")["ProductionVariants"][0]["CurrentInstanceCount"] == 5
    aws.configure("two", url=None)
    sagemaker.update_endpoint(EndpointName="one", EndpointConfigName="two", RetainAllVariantProperties=retain)
    (variant,) = aws.settle("one")["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["CurrentInstanceCount"]) == (expected, expected)


def test_deployment_configuration_is_described_and_held_to_sagemakers_bounds(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    aws.configure("two", url=None)
    sagemaker = aws.client("sagemaker")

    def update(batch: dict[str, object]) -> None:
        policy = {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 0}
        sagemaker.update_endpoint(
            EndpointName="one",
            EndpointConfigName="two",
            DeploymentConfig={"RollingUpdatePolicy": policy},
        )

    with pytest.raises(ClientError, match="MaximumBatchSize must be between 5% and 50%"):
        update({"Type": "INSTANCE_COUNT", "Value": 1})
    description = sagemaker.describe_endpoint(EndpointName="one")
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", "one")
    update({"Type": "CAPACITY_PERCENT", "Value": 50})
    kept = aws.settle("one")["LastDeploymentConfig"]["RollingUpdatePolicy"]
    assert kept["MaximumBatchSize"] == {"Type": "CAPACITY_PERCENT", "Value": 50}


def test_endpoint_in_progress_refuses_update_and_delete(aws: EmbeddedAws) -> None:
    aws.configure("one", url=None, environment={"FAKE_MODE": "never-healthy"})
    sagemaker = aws.client("sagemaker")
    sagemaker.create_endpoint(EndpointName="one", EndpointConfigName="one")
    with pytest.raises(ClientError, match="in-progress"):
        sagemaker.delete_endpoint(EndpointName="one")
    with pytest.raises(ClientError, match="in-progress"):
        sagemaker.update_endpoint(EndpointName="one", EndpointConfigName="one")


def test_names_are_taken_once(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    with pytest.raises(ClientError, match="already existing model"):
        aws.configure("one", url=None)
    with pytest.raises(ClientError, match="already existing endpoint"):
        aws.client("sagemaker").create_endpoint(EndpointName="one", EndpointConfigName="one")


@pytest.mark.parametrize(
    ("instance_type", "known"), [("ml.g6e.xlarge", True), ("ml.p5.48xlarge", True), ("ml.g9.xlarge", False)]
)
def test_instance_types_are_todays(aws: EmbeddedAws, instance_type: str, known: bool) -> None:
    if known:
        aws.configure("one", url=None, InstanceType=instance_type)
    else:
        with pytest.raises(ClientError, match=r"ml\.g9\.xlarge"):
            aws.configure("one", url=None, InstanceType=instance_type)


def test_startup_timeout_out_of_sagemakers_bounds_is_refused(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError, match="between 60 and 3600"):
        aws.configure("one", url=None, ContainerStartupHealthCheckTimeoutInSeconds=3601)


def test_container_that_dies_is_started_again_and_says_so_meanwhile(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    first = invoke(aws, "one")["pid"]
    with pytest.raises(ClientError, match="broke") as broken:
        invoke(aws, "one", {"do": "die", "code": 9})
    assert broken.value.response["Error"]["Code"] == "ModelError"

    reasons = set()

    def answers() -> bool:
        try:
            return bool(invoke(aws, "one")["pid"] != first)
        except ClientError as error:
            reasons.add(f"{error.response['Error']['Code']}: {error.response['Error']['Message']}")
            return False

    wait_until(answers)
    assert "ServiceUnavailable: Container exited with code 9: dying as asked" in reasons


def test_container_that_keeps_dying_is_given_up(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    deaths = 0

    def given_up() -> bool:
        nonlocal deaths
        try:
            invoke(aws, "one", {"do": "die", "code": 9})
        except ClientError as error:
            deaths += error.response["Error"]["Code"] == "ModelError"
            return "It is not started again" in error.response["Error"]["Message"]
        raise AssertionError("a dead container answered")

    wait_until(given_up)
    assert deaths == 3  # the first start and two more


def test_deaf_container_is_killed_after_its_time(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None, environment={"FAKE_MODE": "deaf"})
    pid = invoke(aws, "one")["pid"]
    started = time.monotonic()
    hosting.stop_all()
    assert 0.9 < time.monotonic() - started < 5
    assert not is_running(pid)


def test_nothing_is_left_behind_when_all_is_stopped(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=aws.put_model({"model.gguf": b"x"}), environment={"FAKE_MODE": "children"})
    aws.configure("two", url=None, environment={"FAKE_MODE": "never-healthy"})
    aws.client("sagemaker").create_endpoint(EndpointName="two", EndpointConfigName="two")
    pid = invoke(aws, "one")["pid"]
    group = os.getpgid(pid)
    assert group != os.getpgid(0)
    wait_until(lambda: "starting as never-healthy" in aws.log_lines("two"))
    hosting.stop_all()
    wait_until(lambda: not is_running(-group))
    assert list((aws.state_directory / "endpoints").glob("*/*")) == []


def test_deleted_endpoint_takes_its_container_along(aws: EmbeddedAws) -> None:
    aws.deploy("one", url=None)
    pid = invoke(aws, "one")["pid"]
    aws.client("sagemaker").delete_endpoint(EndpointName="one")
    wait_until(lambda: not is_running(pid))
    with pytest.raises(ClientError, match="not found"):
        invoke(aws, "one")


def test_container_ends_when_the_embedded_aws_is_killed(aws: EmbeddedAws) -> None:
    """The keeper of the process group sees its pipe close, whatever ended the other side."""
    aws.deploy("one", url=None)
    endpoint = hosting.find_endpoint("one", REGION)
    assert endpoint is not None
    (variant,) = endpoint._serving
    container = variant._container
    assert container is not None
    assert container._keeper.stdin is not None
    container._keeper.stdin.close()
    wait_until(lambda: not container.running)
    wait_until(lambda: variant.unavailable is not None)  # said by the thread that watches the container
    assert variant.unavailable is not None
    assert signal.SIGTERM.name in variant.unavailable


def test_container_that_never_gets_healthy_fails_after_its_timeout(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "_TIMEOUT_BOUNDS", (1, 3600))  # a minute is SageMaker's least
    started = time.monotonic()
    description = aws.deploy(
        "one",
        url=None,
        environment={"FAKE_MODE": "never-healthy"},
        ContainerStartupHealthCheckTimeoutInSeconds=1,
    )
    assert 1 <= time.monotonic() - started < 5
    assert description["EndpointStatus"] == "Failed"
    assert "Not healthy after 1 seconds: starting as never-healthy" in description["FailureReason"]


def test_tagging_api_names_a_configuration_by_its_arn(aws: EmbeddedAws) -> None:
    name = aws.configure("tagged", configuration={"Tags": [{"Key": "agency", "Value": "moh"}]})
    (found,) = aws.client("resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"]
    described = aws.client("sagemaker").describe_endpoint_config(EndpointConfigName=name)
    assert found["ResourceARN"] == described["EndpointConfigArn"]
