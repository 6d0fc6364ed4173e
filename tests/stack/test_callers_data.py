"""Asynchronous endpoints and data capture: there when the file asks for them, and only then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from quant_llm.llm_endpoint import LlmEndpoint
from tests.stack.conftest import DEFAULT, make_stack
from tests.stack.test_repack import text_of

Json = Any
SCALING = "scaling: {min: 1, max: 2}"
ASYNC = (SCALING, "mode: async\n    scaling: {min: 0, max: 3}")
CAPTURE = (SCALING, f"capture: {{percent: 20, keep_days: 7}}\n    {SCALING}")


@pytest.fixture
def asynchronous(changed_template: Callable[..., Template]) -> Template:
    return changed_template(ASYNC)


@pytest.fixture
def captures(changed_template: Callable[..., Template]) -> Template:
    return changed_template(CAPTURE)


def only(template: Template, kind: str) -> Json:
    (resource,) = template.find_resources(kind).values()
    return resource["Properties"]


def data_bucket(template: Template) -> tuple[str, Json]:
    (found,) = [
        (name, bucket["Properties"])
        for name, bucket in template.find_resources("AWS::S3::Bucket").items()
        if name.startswith("Data")
    ]
    return found


def granted(template: Template, role: str) -> dict[str, set[str]]:
    """Resources by action, of all policies of a role whose id has this part."""
    allowed: dict[str, set[str]] = {}
    for policy in template.find_resources("AWS::IAM::Policy").values():
        if role not in json.dumps(policy["Properties"]["Roles"]):
            continue
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions, where = statement["Action"], statement["Resource"]
            for action in [actions] if isinstance(actions, str) else actions:
                for resource in where if isinstance(where, list) else [where]:
                    allowed.setdefault(action, set()).add(text_of(resource))
    return allowed


def test_nothing_of_it_is_there_without_being_asked_for(default_template: Template) -> None:
    default_template.resource_count_is("AWS::S3::Bucket", 1)
    default_template.resource_count_is("AWS::SNS::Topic", 0)
    configuration = only(default_template, "AWS::SageMaker::EndpointConfig")
    assert not {"AsyncInferenceConfig", "DataCaptureConfig"} & set(configuration)


def test_requests_answers_and_failures_have_prefixes_of_their_own_under_a_key(asynchronous: Template) -> None:
    bucket, _ = data_bucket(asynchronous)
    asked = only(asynchronous, "AWS::SageMaker::EndpointConfig")["AsyncInferenceConfig"]
    assert asked["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 4}  # the file's concurrency
    output = asked["OutputConfig"]
    assert text_of(output["S3OutputPath"]) == f"s3://<{bucket}>/async/smollm2-135m/output/"
    assert text_of(output["S3FailurePath"]) == f"s3://<{bucket}>/async/smollm2-135m/failure/"
    key = output["KmsKeyId"]["Fn::GetAtt"][0]
    assert key.startswith("DataKey")
    topics = asynchronous.find_resources("AWS::SNS::Topic")
    assert {topic["Ref"] for topic in output["NotificationConfig"].values()} == set(topics)
    assert len(topics) == 2
    for topic in topics.values():
        assert topic["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}


def test_the_endpoint_reads_requests_and_writes_answers_and_nothing_else(asynchronous: Template) -> None:
    bucket, _ = data_bucket(asynchronous)
    allowed = granted(asynchronous, "EndpointRole")
    mine = {action: {arn for arn in arns if bucket in arn} for action, arns in allowed.items()}
    prefix = f"<{bucket}.Arn>/async/smollm2-135m"
    assert mine["s3:GetObject"] == {f"{prefix}/input/*"}
    assert mine["s3:PutObject"] == {f"{prefix}/output/*", f"{prefix}/failure/*"}
    assert len(allowed["sns:Publish"]) == 2
    assert {action for action, arns in mine.items() if arns} == {"s3:GetObject", "s3:PutObject"}


def test_an_application_leaves_requests_and_reads_answers_and_can_not_call_otherwise(
    changed_template: Callable[..., Template], tmp_path: Any
) -> None:
    changed_template(ASYNC)
    stack = make_stack(tmp_path / DEFAULT.name)
    (endpoint,) = [node for node in stack.node.find_all() if isinstance(node, LlmEndpoint)]
    application = iam.Role(stack, "Application", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    endpoint.grant_invoke(application)
    template = Template.from_stack(cdk.Stack.of(application))
    allowed = granted(template, "Application")
    assert {arn.rpartition(":")[2] for arn in allowed["sagemaker:InvokeEndpointAsync"]} == {
        "endpoint/default-smollm2-135m"
    }
    assert set(allowed) == {
        "sagemaker:InvokeEndpointAsync",
        "s3:GetObject",
        "s3:PutObject",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }
    assert {arn.partition("/")[2] for arn in allowed["s3:PutObject"]} == {"async/smollm2-135m/input/*"}
    assert {arn.partition("/")[2] for arn in allowed["s3:GetObject"]} == {
        "async/smollm2-135m/output/*",
        "async/smollm2-135m/failure/*",
    }


def test_instances_follow_the_queue_down_to_none(asynchronous: Template) -> None:
    target = only(asynchronous, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)
    (variant,) = only(asynchronous, "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
    assert variant["InitialInstanceCount"] == 1  # SageMaker creates none with less
    assert "ModelName" in variant
    asynchronous.resource_count_is("AWS::SageMaker::InferenceComponent", 0)
    asynchronous.resource_count_is("AWS::ApplicationAutoScaling::ScalingPolicy", 2)
    asynchronous.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "CustomizedMetricSpecification": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": "ApproximateBacklogSizePerInstance",
                    "Dimensions": [{"Name": "EndpointName", "Value": "default-smollm2-135m"}],
                    "Statistic": "Average",
                },
                "TargetValue": 4,
                "ScaleInCooldown": 600,
                "ScaleOutCooldown": 600,
            },
        },
    )
    asynchronous.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {
            "MetricName": "HasBacklogWithoutCapacity",
            "Dimensions": [{"Name": "EndpointName", "Value": "default-smollm2-135m"}],
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "AlarmActions": [Match.object_like({"Ref": Match.string_like_regexp("FromZero")})],
        },
    )


def test_with_one_instance_at_all_times_nothing_wakes_it(changed_template: Callable[..., Template]) -> None:
    template = changed_template((SCALING, f"mode: async\n    {SCALING}"))
    template.resource_count_is("AWS::ApplicationAutoScaling::ScalingPolicy", 1)
    assert "HasBacklogWithoutCapacity" not in json.dumps(template.to_json())


def test_an_update_may_take_its_time_to_answer(asynchronous: Template) -> None:
    thresholds = {
        alarm["Properties"]["Threshold"]
        for alarm in asynchronous.find_resources("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == "ModelLatency"
    }
    assert thresholds == {675_000_000}


def test_people_hear_of_requests_that_wait_for_an_instance_and_not_of_a_queue(
    changed_template: Callable[..., Template],
) -> None:
    alarms = ("models:\n", "alarms: {notify: [ops@moh.example]}\nmodels:\n")
    template = changed_template(ASYNC, alarms)
    names = {
        alarm["Properties"]["AlarmName"].removeprefix("default-smollm2-135m-")
        for alarm in template.find_resources("AWS::CloudWatch::Alarm").values()
        if "OKActions" in alarm["Properties"]
    }
    assert names == {"errors", "latency", "no-capacity", "gpu-memory"}


def test_a_share_of_requests_and_answers_is_captured_under_a_key(captures: Template) -> None:
    bucket, _ = data_bucket(captures)
    captured = only(captures, "AWS::SageMaker::EndpointConfig")["DataCaptureConfig"]
    assert text_of(captured.pop("DestinationS3Uri")) == f"s3://<{bucket}>/capture/smollm2-135m/"
    assert captured.pop("KmsKeyId")["Fn::GetAtt"][0].startswith("DataKey")
    assert captured == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    allowed = granted(captures, "EndpointRole")
    assert {arn for arn in allowed["s3:PutObject"] if bucket in arn} == {
        f"<{bucket}.Arn>/capture/smollm2-135m/*"
    }
    assert not [arn for arn in allowed["s3:GetObject"] if bucket in arn]


@pytest.mark.parametrize(
    ("change", "prefix", "days"),
    [(ASYNC, "async/smollm2-135m/", 30), (CAPTURE, "capture/smollm2-135m/", 7)],
    ids=["async", "capture"],
)
def test_what_callers_ask_is_deleted_in_time_and_open_to_nobody(
    changed_template: Callable[..., Template], change: tuple[str, str], prefix: str, days: int
) -> None:
    template = changed_template(change)
    name, bucket = data_bucket(template)
    rules = bucket["LifecycleConfiguration"]["Rules"]
    (rule,) = [rule for rule in rules if "Prefix" in rule]
    assert (rule["Prefix"], rule["ExpirationInDays"]) == (prefix, days)
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (models_key,) = template.find_resources("AWS::KMS::Key", {"DeletionPolicy": "Retain"}).keys() - {
        key for key in template.find_resources("AWS::KMS::Key") if key.startswith("DataKey")
    }
    assert models_key not in json.dumps(bucket)
    template.has_resource(
        "AWS::S3::BucketPolicy",
        {
            "Properties": {
                "Bucket": {"Ref": name},
                "PolicyDocument": {
                    "Statement": Match.array_with(
                        [Match.object_like({"Effect": "Deny", "Condition": Match.any_value()})]
                    )
                },
            }
        },
    )
