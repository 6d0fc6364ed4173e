"""Which model data the endpoints serve, and what AWS's refusals become."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from quant_llm.agency import DeploymentEnvironment
from quant_llm.errors import QuantLlmError
from quant_llm_tools.artifacts.aws import AwsCloud
from quant_llm_tools.artifacts.inventory import ObjectVersion

ENVIRONMENT = DeploymentEnvironment(account="123456789012", region="us-east-1")
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/QuantLlmStack/1"


def cloud(*, cloudformation: Any = None, s3: Any = None, sagemaker: Any = None) -> AwsCloud:
    return AwsCloud(ENVIRONMENT, cast(Any, cloudformation), cast(Any, s3), cast(Any, sagemaker))


class FakeSageMaker:
    """Names lead to what is described under them; pages have one item each."""

    def __init__(self, **described: dict[str, dict[str, Any]]) -> None:
        self._described = described

    def get_paginator(self, operation: str) -> Any:
        kind, field = {
            "list_endpoints": ("endpoints", "Endpoint"),
            "list_inference_components": ("components", "InferenceComponent"),
        }[operation]

        def paginate(**_: str) -> Iterator[dict[str, Any]]:
            for name in self._described.get(kind, {}):
                yield {f"{field}s": [{f"{field}Name": name}]}

        return SimpleNamespace(paginate=paginate)

    def describe_endpoint(self, *, EndpointName: str) -> dict[str, Any]:
        return self._described["endpoints"][EndpointName]

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> dict[str, Any]:
        return self._described["configs"][EndpointConfigName]

    def describe_model(self, *, ModelName: str) -> dict[str, Any]:
        return self._described["models"][ModelName]

    def describe_inference_component(self, *, InferenceComponentName: str) -> dict[str, Any]:
        return self._described["components"][InferenceComponentName]


def model(url: str) -> dict[str, Any]:
    return {"PrimaryContainer": {"ModelDataUrl": url}}


def config(*names: str, shadow: str | None = None) -> dict[str, Any]:
    variants: dict[str, Any] = {"ProductionVariants": [{"ModelName": name} for name in names]}
    return variants if shadow is None else {**variants, "ShadowProductionVariants": [{"ModelName": shadow}]}


def test_an_endpoint_serves_the_model_of_its_configuration() -> None:
    sagemaker = FakeSageMaker(
        endpoints={"one": {"EndpointConfigName": "c1"}, "two": {"EndpointConfigName": "c2"}},
        configs={"c1": config("m1"), "c2": config("m2"), "c3": config("m3")},
        models={"m1": model("s3://b/1"), "m2": model("s3://b/2"), "m3": model("s3://b/3")},
    )
    assert cloud(sagemaker=sagemaker).served() == {"one": {"s3://b/1"}, "two": {"s3://b/2"}}


def test_an_endpoint_under_update_serves_both_models() -> None:
    sagemaker = FakeSageMaker(
        endpoints={
            "one": {"EndpointConfigName": "old", "PendingDeploymentSummary": {"EndpointConfigName": "new"}}
        },
        configs={"old": config("m1"), "new": config("m2", shadow="m3")},
        models={"m1": model("s3://b/1"), "m2": model("s3://b/2"), "m3": model("s3://b/3")},
    )
    assert cloud(sagemaker=sagemaker).served() == {"one": {"s3://b/1", "s3://b/2", "s3://b/3"}}


@pytest.mark.parametrize(
    "described",
    [
        {"PrimaryContainer": {"ModelDataSource": {"S3DataSource": {"S3Uri": "s3://b/1/"}}}},
        {"Containers": [{}, {"ModelDataUrl": "s3://b/1/"}]},
        {"PrimaryContainer": {"AdditionalModelDataSources": [{"S3DataSource": {"S3Uri": "s3://b/1/"}}]}},
    ],
    ids=["source", "pipeline", "additional"],
)
def test_every_form_of_model_data_is_found(described: dict[str, Any]) -> None:
    sagemaker = FakeSageMaker(
        endpoints={"one": {"EndpointConfigName": "c"}}, configs={"c": config("m")}, models={"m": described}
    )
    assert cloud(sagemaker=sagemaker).served() == {"one": {"s3://b/1/"}}


def test_a_variant_without_a_model_has_inference_components() -> None:
    sagemaker = FakeSageMaker(
        endpoints={"one": {"EndpointConfigName": "c"}},
        configs={"c": {"ProductionVariants": [{}]}},
        components={
            "i1": {"Specification": {"ModelName": "m"}},
            "i2": {"Specification": {"Container": {"ArtifactUrl": "s3://b/2"}}},
        },
        models={"m": model("s3://b/1")},
    )
    assert cloud(sagemaker=sagemaker).served() == {"one": {"s3://b/1", "s3://b/2"}}


class FakeCloudFormation:
    def __init__(self, answer: dict[str, Any] | ClientError) -> None:
        self._answer = answer

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:
        if isinstance(self._answer, ClientError):
            raise self._answer
        return {"Stacks": [{"StackName": StackName, "StackStatus": "CREATE_COMPLETE", **self._answer}]}


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


def bucket(answer: dict[str, Any] | ClientError) -> str | None:
    return cloud(cloudformation=FakeCloudFormation(answer)).bucket("QuantLlmStack")


def test_the_bucket_is_an_output_of_the_stack() -> None:
    outputs = [{"OutputKey": "ModelBucketName", "OutputValue": "weights"}]
    assert bucket({"StackId": STACK_ID, "Outputs": outputs}) == "weights"


def test_a_stack_that_does_not_exist_has_no_bucket() -> None:
    assert bucket(refused("ValidationError", "Stack with id QuantLlmStack does not exist")) is None


def test_a_stack_of_another_account_is_an_error() -> None:
    with pytest.raises(QuantLlmError, match="of account 999999999999, expected 123456789012"):
        bucket({"StackId": STACK_ID.replace("123456789012", "999999999999")})


def test_a_stack_without_the_output_is_an_error() -> None:
    with pytest.raises(QuantLlmError, match="CREATE_COMPLETE has no output ModelBucketName"):
        bucket({"StackId": STACK_ID})


def test_a_refusal_names_what_was_asked() -> None:
    with pytest.raises(QuantLlmError, match="can't find the stack 'QuantLlmStack': AccessDenied: no"):
        bucket(refused("AccessDenied", "no"))


class FakeS3:
    def __init__(self, errors: list[dict[str, str]]) -> None:
        self.errors = errors
        self.batches: list[int] = []

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        self.batches.append(len(Delete["Objects"]))
        return {"Errors": self.errors} if self.errors else {}


VERSIONS = [ObjectVersion("key", str(number), 1, datetime.now(UTC)) for number in range(2001)]


def test_versions_are_deleted_a_thousand_at_a_time() -> None:
    s3 = FakeS3([])
    cloud(s3=s3).delete("weights", VERSIONS)
    assert s3.batches == [1000, 1000, 1]


def test_a_version_that_s3_keeps_is_an_error() -> None:
    s3 = FakeS3([{"Key": "key", "Code": "AccessDenied", "Message": "Object is locked"}])
    with pytest.raises(QuantLlmError, match=r"can't delete s3://weights/key: AccessDenied: Object is locked"):
        cloud(s3=s3).delete("weights", VERSIONS)
    assert s3.batches == [1000]
