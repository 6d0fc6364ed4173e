"""The watch over endpoints: for the stack always, for people with `alarms`; and what it may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_cdk.assertions import Match, Template

from quant_llm.endpoint_watch import version_of
from quant_llm_watchdog.watch import Limits
from tests.stack.test_repack import text_of

Json = Any


def resources(template: Template, kind: str, part: str = "") -> dict[str, Json]:
    return {name: found for name, found in template.find_resources(kind).items() if part in name}


def watch_function(template: Template) -> tuple[str, Json]:
    (found,) = [
        (name, resource["Properties"])
        for name, resource in template.find_resources("AWS::Lambda::Function").items()
        if resource["Properties"]["Handler"] == "quant_llm_watchdog.handler.handle"
    ]
    return found


def statements(template: Template) -> list[Json]:
    role = watch_function(template)[1]["Role"]["Fn::GetAtt"][0]
    return [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_every_endpoint_is_watched_beside_its_own_resource(health_template: Template) -> None:
    (started_id,) = resources(health_template, "Custom::EndpointWatch")
    started = resources(health_template, "Custom::EndpointWatch")[started_id]
    (endpoint_id,) = resources(health_template, "AWS::SageMaker::Endpoint")
    endpoint = resources(health_template, "AWS::SageMaker::Endpoint")[endpoint_id]
    assert started["Properties"]["EndpointName"] == "health-mistral-7b"
    # Of a new configuration, from the moment that it is there.
    assert started["Properties"]["EndpointConfigName"] == endpoint["Properties"]["EndpointConfigName"]
    assert started["Properties"]["ServiceTimeout"] == "300"
    (condition,) = resources(health_template, "AWS::CloudFormation::WaitCondition", "Serves").values()
    assert condition["DependsOn"] == [started_id]
    assert condition["Properties"]["Handle"] == started["Properties"]["WaitHandle"]
    assert condition["Properties"]["Timeout"] == "43200"
    # Neither waits for the other: SageMaker's end is heard of wherever it is seen first.
    assert endpoint_id not in json.dumps([started, condition])
    assert not set(endpoint["DependsOn"]) & {started_id, condition["Properties"]["Handle"]["Ref"]}


def test_a_model_that_may_have_no_instance_is_watched_itself(
    changed_template: Callable[..., Template],
) -> None:
    template = changed_template(("scaling: {min: 1, max: 2}", "scaling: {min: 0, max: 2}"))
    (started,) = resources(template, "Custom::EndpointWatch").values()
    (component,) = resources(template, "AWS::SageMaker::InferenceComponent").values()
    assert started["Properties"]["InferenceComponentName"] == "default-smollm2-135m"
    assert started["Properties"]["ModelName"] == component["Properties"]["Specification"]["ModelName"]
    (looks,) = [s for s in statements(template) if s["Action"] == "sagemaker:DescribeInferenceComponent"]
    assert text_of(looks["Resource"]).endswith(":inference-component/default-smollm2-135m")
    (reads,) = [s for s in statements(template) if "logs:GetLogEvents" in s["Action"]]
    assert [text_of(arn).rpartition("/aws/sagemaker/")[2] for arn in reads["Resource"]] == [
        "Endpoints/default-smollm2-135m",
        "Endpoints/default-smollm2-135m:*",
        "InferenceComponents/default-smollm2-135m",
        "InferenceComponents/default-smollm2-135m:*",
    ]


def test_no_watch_begins_before_it_may_look(health_template: Template) -> None:
    (started,) = resources(health_template, "Custom::EndpointWatch").values()
    kinds = {health_template.to_json()["Resources"][name]["Type"] for name in started["DependsOn"]}
    assert {"AWS::IAM::Policy", "AWS::StepFunctions::StateMachine"} <= kinds


def handle(template: Template) -> str:
    (name,) = resources(template, "AWS::CloudFormation::WaitConditionHandle", "WatchHandle")
    return name


def test_a_configuration_that_stays_is_not_waited_for_again(
    changed_template: Callable[..., Template], default_template: Template
) -> None:
    same = changed_template(("# The stack behind", "# That behind"))
    assert handle(same) == handle(default_template)
    for change in (
        ("context_length: 2048", "context_length: 1024"),
        ("instance_type: ml.g4dn.xlarge", "instance_type: ml.g5.xlarge"),
    ):
        assert handle(changed_template(change)) != handle(default_template)


def test_another_image_is_waited_for() -> None:
    assert version_of("model", "image:1") != version_of("model", "image:2")
    assert version_of({"b": 1, "a": 2}) == version_of({"a": 2, "b": 1})


def test_people_are_told_only_where_the_file_has_alarms(
    default_template: Template, health_template: Template
) -> None:
    assert "NOTICE_TOPIC_ARN" not in watch_function(default_template)[1]["Environment"]["Variables"]
    assert not [
        statement for statement in statements(default_template) if statement["Action"] == "sns:Publish"
    ]
    default_template.resource_properties_count_is(
        "AWS::Events::Rule", {"EventPattern": {"source": ["aws.sagemaker"]}}, 0
    )
    (topic,) = resources(health_template, "AWS::SNS::Topic")
    name, function = watch_function(health_template)
    assert function["Environment"]["Variables"]["NOTICE_TOPIC_ARN"] == {"Ref": topic}
    health_template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": {
                "source": ["aws.sagemaker"],
                "detail-type": ["SageMaker Endpoint State Change"],
                "detail": {"EndpointName": ["health-mistral-7b"]},
            },
            "Targets": [Match.object_like({"Arn": {"Fn::GetAtt": [name, "Arn"]}})],
        },
    )


def test_the_function_knows_the_timeouts_of_the_configuration(health_template: Template) -> None:
    known = json.loads(watch_function(health_template)[1]["Environment"]["Variables"]["ENDPOINTS"])
    limits = Limits(**known["health-mistral-7b"])
    (configuration,) = resources(health_template, "AWS::SageMaker::EndpointConfig").values()
    (variant,) = configuration["Properties"]["ProductionVariants"]
    (endpoint,) = resources(health_template, "AWS::SageMaker::Endpoint").values()
    deployment = endpoint["Properties"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert limits.instance_type == variant["InstanceType"]
    assert limits.start_seconds == (
        variant["ModelDataDownloadTimeoutInSeconds"] + variant["ContainerStartupHealthCheckTimeoutInSeconds"]
    )
    assert limits.update_seconds == deployment["MaximumExecutionTimeoutInSeconds"]


def test_the_function_may_look_at_its_own_endpoints_and_change_none(health_template: Template) -> None:
    allowed: dict[str, list[str]] = {}
    for statement in statements(health_template):
        actions, where = statement["Action"], statement["Resource"]
        for action in [actions] if isinstance(actions, str) else actions:
            for resource in where if isinstance(where, list) else [where]:
                allowed.setdefault(action, []).append(text_of(resource))
    group = ":log-group:/aws/sagemaker/Endpoints/health-mistral-7b"
    assert [
        arn for arn in allowed["sagemaker:DescribeEndpoint"] if not arn.endswith("endpoint/health-mistral-7b")
    ] == []
    for action in ("logs:DescribeLogStreams", "logs:GetLogEvents"):
        assert [arn.partition(":210987654321")[2] for arn in allowed[action]] == [group, f"{group}:*"]
    assert set(allowed) == {
        "kms:Decrypt",
        "kms:GenerateDataKey*",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "logs:PutLogEvents",
        "sagemaker:DescribeEndpoint",
        "sns:Publish",
        "states:StartExecution",
    }
    assert "*" not in [arn for arns in allowed.values() for arn in arns]
