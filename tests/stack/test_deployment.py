"""How an update replaces an endpoint's instances, and what takes it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk.assertions import Template

SCALING = "scaling: {min: 1, max: 2}"


def resource(template: Template, kind: str) -> tuple[str, dict[str, Any]]:
    ((name, found),) = template.find_resources(f"AWS::SageMaker::{kind}").items()
    return name, dict(found)


def deployment(template: Template) -> dict[str, Any]:
    config: dict[str, Any] = resource(template, "Endpoint")[1]["Properties"]["DeploymentConfig"]
    return config


def rollback_alarms(template: Template) -> dict[str, dict[str, Any]]:
    found = template.find_resources("AWS::CloudWatch::Alarm").items()
    return {name: alarm["Properties"] for name, alarm in found if "Rollback" in name}


def test_one_instance_is_replaced_by_another_beside_it(default_template: Template) -> None:
    """Half of one is no instance: a rolling update of it has no valid batch."""
    config = deployment(default_template)
    assert "RollingUpdatePolicy" not in config
    policy = config["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {
        "Type": "ALL_AT_ONCE",
        "WaitIntervalInSeconds": 600,
    }
    assert policy["TerminationWaitInSeconds"] == 600


@pytest.mark.parametrize("more", ["", "\n    deployment: rolling"])
def test_two_and_more_roll_by_half(changed_template: Callable[..., Template], more: str) -> None:
    config = deployment(changed_template((SCALING, f"scaling: {{min: 2, max: 4}}{more}")))
    assert "BlueGreenUpdatePolicy" not in config
    policy = config["RollingUpdatePolicy"]
    assert policy["MaximumBatchSize"] == {"Type": "CAPACITY_PERCENT", "Value": 50}
    assert policy["WaitIntervalInSeconds"] == 600


def test_blue_green_on_request_lets_one_instance_go_first(changed_template: Callable[..., Template]) -> None:
    asked = (SCALING, "scaling: {min: 2, max: 4}\n    deployment: blue-green")
    config = deployment(changed_template(asked))
    assert "RollingUpdatePolicy" not in config
    assert config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] == {
        "Type": "CANARY",
        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 600,
    }


def test_a_schedule_down_to_one_instance_does_not_roll(changed_template: Callable[..., Template]) -> None:
    night = 'schedule: [{cron: "0 19 ? * * *", timezone: UTC, min: 1, max: 4}]'
    config = deployment(changed_template((SCALING, f"scaling: {{min: 2, max: 4, {night}}}")))
    assert "RollingUpdatePolicy" not in config


def test_an_update_ends_within_sagemakers_bound(changed_template: Callable[..., Template]) -> None:
    for scaling, policy in (("min: 1", "BlueGreenUpdatePolicy"), ("min: 2", "RollingUpdatePolicy")):
        config = deployment(changed_template((SCALING, f"scaling: {{{scaling}, max: 2}}")))[policy]
        _, configuration = resource(
            changed_template((SCALING, f"scaling: {{{scaling}, max: 2}}")), "EndpointConfig"
        )
        (variant,) = configuration["Properties"]["ProductionVariants"]
        start = (
            variant["ModelDataDownloadTimeoutInSeconds"]
            + variant["ContainerStartupHealthCheckTimeoutInSeconds"]
        )
        assert start + 600 < config["MaximumExecutionTimeoutInSeconds"] <= 28_800


def test_errors_and_latency_take_an_update_back(default_template: Template) -> None:
    alarms = rollback_alarms(default_template)
    assert {alarm["MetricName"] for alarm in alarms.values()} == {"Invocation5XXErrors", "ModelLatency"}
    named = deployment(default_template)["AutoRollbackConfiguration"]["Alarms"]
    assert named == [{"AlarmName": {"Ref": name}} for name in alarms]


def test_only_the_new_instances_can_take_an_update_back(default_template: Template) -> None:
    name, _ = resource(default_template, "EndpointConfig")
    own = {"Fn::GetAtt": [name, "EndpointConfigName"]}
    for alarm in rollback_alarms(default_template).values():
        dimensions = {entry["Name"]: entry["Value"] for entry in alarm["Dimensions"]}
        assert dimensions == {
            "EndpointName": "default-smollm2-135m",
            "VariantName": "AllTraffic",
            "EndpointConfigName": own,
        }
        # A new name is a new alarm: one that is changed in place would keep the state of what it watched.
        assert own in alarm["AlarmName"]["Fn::Join"][1]


def test_neither_a_first_deployment_nor_a_quiet_one_is_taken_back(default_template: Template) -> None:
    alarms = rollback_alarms(default_template).values()
    assert all(alarm["TreatMissingData"] == "notBreaching" for alarm in alarms)
    (latency,) = (alarm for alarm in alarms if alarm["MetricName"] == "ModelLatency")
    assert latency["EvaluateLowSampleCountPercentile"] == "ignore"


def test_alarms_are_over_within_the_watch(default_template: Template) -> None:
    for alarm in rollback_alarms(default_template).values():
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= 600 / 2


def test_alarms_and_the_right_to_read_them_are_there_before_the_update(default_template: Template) -> None:
    alarms = rollback_alarms(default_template)
    reads = {
        name: policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in default_template.find_resources("AWS::IAM::Policy").items()
        if "cloudwatch:DescribeAlarms" in json.dumps(policy)
    }
    ((policy, statements),) = reads.items()
    assert [statement["Resource"] for statement in statements] == [
        [{"Fn::GetAtt": [name, "Arn"]} for name in alarms]
    ]
    assert {*alarms, policy} <= set(resource(default_template, "Endpoint")[1]["DependsOn"])


def test_rollback_alarms_tell_nobody(default_template: Template) -> None:
    for alarm in rollback_alarms(default_template).values():
        assert not {"AlarmActions", "OKActions", "InsufficientDataActions"} & set(alarm)
