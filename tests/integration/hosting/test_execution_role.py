"""SageMaker acts in the name of an execution role: what the role may not do fails, and says why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from quant_llm_tools.local_aws import images
from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.hosting.embedded import CONTEXT, FAKE_IMAGE, FAKE_REPOSITORY, create_role
from tests.integration.local_aws.account import Account

BUCKET = "weights"
URL, PREFIX = f"s3://{BUCKET}/models/chat/0/", "models/chat/0/"
READ = ("s3:GetObject", "s3:ListBucket", "kms:Decrypt", "ecr:BatchGetImage", "ecr:GetAuthorizationToken")

Json = Any


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """A bucket under a key, and a model in it."""
    with LocalAws() as aws:
        account = Account(aws)
        images.register(FAKE_REPOSITORY, "1", CONTEXT)
        account.client("ecr").create_repository(repositoryName="fake")
        s3 = account.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}a.gguf", Body=b"weights")
        yield account
        account.close()


def without(action: str) -> tuple[str, ...]:
    return tuple(each for each in READ if each != action)


def host(account: Account, name: str, role_arn: str) -> dict[str, Json]:
    """An endpoint of the model under a role; DescribeEndpoint when it has settled."""
    sagemaker = account.client("sagemaker")
    source = {"S3Uri": URL, "S3DataType": "S3Prefix", "CompressionType": "None"}
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=role_arn,
        PrimaryContainer={"Image": FAKE_IMAGE, "ModelDataSource": {"S3DataSource": source}},
    )
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant | {"InstanceType": "ml.g5.xlarge"}]
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    deadline = time.monotonic() + 20
    while (described := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == "Creating":
        assert time.monotonic() < deadline, described
        time.sleep(0.05)
    found: dict[str, Json] = described
    return found


def test_role_that_may_read_and_pull_is_enough(account: Account) -> None:
    described = host(account, "enough", create_role(account.client("iam"), name="enough", may=READ))
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket", "kms:Decrypt"])
def test_role_that_may_not_read_the_model_fails_as_on_aws(account: Account, action: str) -> None:
    name = action.replace(":", "-")
    role = create_role(account.client("iam"), name=name, may=without(action))
    described = host(account, name, role)
    assert described["EndpointStatus"] == "Failed"
    reason = described["FailureReason"]
    assert reason.startswith(
        f'Could not access model data at {URL}. Please ensure that the role "{role}" exists and that its '
        'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
        '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions'
    )
    assert f"is not authorized to perform: {action} on resource" in reason
    assert f"assumed-role/{name}/SageMaker" in reason


def test_role_that_may_not_pull_the_image_fails_as_on_aws(account: Account) -> None:
    role = create_role(account.client("iam"), name="no-pull", may=without("ecr:BatchGetImage"))
    reason = host(account, "no-pull", role)["FailureReason"]
    assert reason.startswith("Please make sure all images included in the model for the production variant")
    assert "is not authorized to perform: ecr:BatchGetImage" in reason


def test_role_that_lets_nobody_or_another_service_in_can_not_be_used(account: Account) -> None:
    iam = account.client("iam")
    role = create_role(iam, name="other", may=READ)
    trust = json.dumps(iam.get_role(RoleName="other")["Role"]["AssumeRolePolicyDocument"])
    iam.update_assume_role_policy(RoleName="other", PolicyDocument=trust.replace("sagemaker.", "lambda."))
    assert "does not allow sts:AssumeRole to sagemaker" in host(account, "other", role)["FailureReason"]
    missing = "arn:aws:iam::123456789012:role/missing"
    assert f"there is no role {missing}" in host(account, "missing", missing)["FailureReason"]


def process(account: Account, name: str, role_arn: str) -> dict[str, Json]:
    """A processing job that reads the model under a role; DescribeProcessingJob at its end."""
    sagemaker = account.client("sagemaker")
    source = {"S3Uri": URL, "LocalPath": "/opt/ml/processing/input", "S3DataType": "S3Prefix"}
    output = {
        "S3Uri": f"s3://{BUCKET}/out/",
        "LocalPath": "/opt/ml/processing/output",
        "S3UploadMode": "EndOfJob",
    }
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=role_arn,
        AppSpecification={"ImageUri": FAKE_IMAGE},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        ProcessingInputs=[{"InputName": "model", "S3Input": source | {"S3InputMode": "File"}}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": output}]},
    )
    deadline = time.monotonic() + 20
    while True:
        described: dict[str, Json] = sagemaker.describe_processing_job(ProcessingJobName=name)
        if described["ProcessingJobStatus"] != "InProgress":
            return described
        assert time.monotonic() < deadline, described
        time.sleep(0.05)


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject", "kms:Decrypt", "ecr:BatchGetImage"])
def test_job_does_what_its_role_may_and_no_more(account: Account, action: str) -> None:
    name = f"job-{action.replace(':', '-')}"
    role = create_role(account.client("iam"), name=name, may=without(action))
    described = process(account, name, role)
    assert described["ProcessingJobStatus"] == "Failed"
    assert f"is not authorized to perform: {action} on resource" in described["FailureReason"]
