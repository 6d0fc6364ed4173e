"""A model that may have no instance: an inference component, what takes its copies away and brings them."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Annotations, Match, Template

from quant_llm.llm_endpoint import LlmEndpoint
from quant_llm.names import VARIANT_NAME
from tests.stack.conftest import DEFAULT, FIXTURES, make_stack

SCALING = "scaling: {min: 1, max: 2}"
COMPONENT = "AWS::SageMaker::InferenceComponent"
NAME = "default-smollm2-135m"
CONCURRENCY = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
OF_THE_COMPONENT = [{"Name": "InferenceComponentName", "Value": NAME}]


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return to_zero(tmp_path_factory.mktemp("zero"), "min: 0, max: 4, idle_minutes: 5")


def to_zero(directory: Any, scaling: str, *changes: tuple[str, str]) -> Template:
    """The default agency with this scaling."""
    return Template.from_stack(stack_of(directory, scaling, *changes))


def stack_of(directory: Any, scaling: str, *changes: tuple[str, str]) -> cdk.Stack:
    text = DEFAULT.read_text()
    for old, new in ((SCALING, f"scaling: {{{scaling}}}"), *changes):
        assert old in text
        text = text.replace(old, new)
    path = directory / DEFAULT.name
    path.write_text(text)
    (directory / "default.lock.json").write_text(DEFAULT.with_name("default.lock.json").read_text())
    return make_stack(path)


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def variant(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = only(template, "AWS::SageMaker::EndpointConfig")["ProductionVariants"][0]
    return found


def acts(template: Template) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The alarms that scale and the step policies that they set off, by the alarm's name in the template."""
    policies = template.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy")
    found = {}
    for name, alarm in template.find_resources("AWS::CloudWatch::Alarm").items():
        actions = [action["Ref"] for action in alarm["Properties"].get("AlarmActions", [])]
        for action in set(actions) & set(policies):
            policy = policies[action]["Properties"]
            assert policy["PolicyType"] == "StepScaling"
            short = name.partition("ComponentZero")[2][:-8]
            found[short] = alarm["Properties"], policy["StepScalingPolicyConfiguration"]
    return found


def test_an_endpoint_that_always_has_an_instance_has_no_component(default_template: Template) -> None:
    default_template.resource_count_is(COMPONENT, 0)
    assert "ManagedInstanceScaling" not in variant(default_template)
    assert "ExecutionRoleArn" not in only(default_template, "AWS::SageMaker::EndpointConfig")
    assert acts(default_template) == {}
    assert default_template.find_outputs("Smollm2135mInferenceComponentName") == {}


def test_instances_come_and_go_with_the_copies_down_to_none(zero: Template) -> None:
    of_instances = variant(zero)
    assert of_instances["ManagedInstanceScaling"] == {
        "Status": "ENABLED",
        "MinInstanceCount": 0,
        "MaxInstanceCount": 32,
    }
    assert of_instances["RoutingConfig"] == {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    assert of_instances["VariantName"] == VARIANT_NAME
    assert "ModelName" not in of_instances


def test_component_has_the_endpoints_name_and_the_model_and_one_copy_to_begin_with(zero: Template) -> None:
    (model_id,) = zero.find_resources("AWS::SageMaker::Model")
    component = only(zero, COMPONENT)
    assert (
        component["InferenceComponentName"] == only(zero, "AWS::SageMaker::Endpoint")["EndpointName"] == NAME
    )
    assert component["VariantName"] == VARIANT_NAME
    assert component["Specification"]["ModelName"] == {"Fn::GetAtt": [model_id, "ModelName"]}
    assert component["RuntimeConfig"] == {"CopyCount": 1}
    (output,) = zero.find_outputs("Smollm2135mInferenceComponentName").values()
    assert output["Value"] == NAME


def test_a_copy_takes_all_gpus_of_the_instance(whole_health_template: Template) -> None:
    """The example's model is on a type with four of them."""
    needs = only(whole_health_template, COMPONENT)["Specification"]["ComputeResourceRequirements"]
    assert needs == {"NumberOfAcceleratorDevicesRequired": 4, "MinMemoryRequiredInMb": 1024}


def test_how_long_a_start_may_take_is_the_components(zero: Template, default_template: Template) -> None:
    names = ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds")
    before = {name: variant(default_template)[name] for name in names}
    assert only(zero, COMPONENT)["Specification"]["StartupParameters"] == before
    assert not set(names) & set(variant(zero))


def test_containers_of_components_are_isolated_and_in_the_agencys_vpc(
    zero: Template, whole_health_template: Template
) -> None:
    assert only(zero, "AWS::SageMaker::EndpointConfig")["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in only(zero, "AWS::SageMaker::EndpointConfig")
    (configuration,) = (
        found["Properties"]
        for found in whole_health_template.find_resources("AWS::SageMaker::EndpointConfig").values()
        if "ExecutionRoleArn" in found["Properties"]
    )
    assert configuration["EnableNetworkIsolation"] is True
    assert configuration["VpcConfig"] == {
        "Subnets": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
        "SecurityGroupIds": ["sg-0a1b2c3d4e5f60718"],
    }


def test_role_may_write_the_components_log_group(zero: Template, default_template: Template) -> None:
    group = f"log-group:/aws/sagemaker/InferenceComponents/{NAME}"
    assert group in json.dumps(zero.find_resources("AWS::IAM::Policy"))
    assert "InferenceComponents" not in json.dumps(default_template.find_resources("AWS::IAM::Policy"))


def test_copies_are_scaled_between_the_files_bounds_and_added_by_concurrency(zero: Template) -> None:
    target = only(zero, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"] == f"inference-component/{NAME}"
    assert target["ScalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 4)
    zero.has_resource_properties(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        {
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "PredefinedMetricSpecification": {"PredefinedMetricType": CONCURRENCY},
                "TargetValue": 3,
                # Its own scaling in knows no idle_minutes.
                "DisableScaleIn": True,
            },
        },
    )


def test_no_instance_runs_before_the_artifact_is_there(zero: Template) -> None:
    (model_id,) = zero.find_resources("AWS::SageMaker::Model")
    ((configuration_id, configuration),) = zero.find_resources("AWS::SageMaker::EndpointConfig").items()
    assert model_id in configuration["DependsOn"]
    assert configuration_id in json.dumps(only(zero, "AWS::SageMaker::Endpoint"))


def test_target_waits_for_the_component(zero: Template) -> None:
    (component_id,) = zero.find_resources(COMPONENT)
    (target,) = zero.find_resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert component_id in target["DependsOn"]


def test_refused_call_brings_the_first_copy(zero: Template) -> None:
    alarm, policy = acts(zero)["FromZero"]
    assert (alarm["MetricName"], alarm["Dimensions"]) == ("NoCapacityInvocationFailures", OF_THE_COMPONENT)
    assert (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]) == ("Sum", 60, 1)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert policy["AdjustmentType"] == "ChangeInCapacity"
    assert policy["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]


@pytest.mark.parametrize(("idle", "cooldown"), [(5, 300), (30, 600)])
def test_calls_during_the_start_bring_no_second_copy_and_those_after_idling_do(
    tmp_path: Any, idle: int, cooldown: int
) -> None:
    _, policy = acts(to_zero(tmp_path, f"min: 0, max: 4, idle_minutes: {idle}"))["FromZero"]
    assert policy["Cooldown"] == cooldown


def test_all_copies_go_when_nobody_has_called_for_the_files_minutes(zero: Template) -> None:
    alarm, policy = acts(zero)["Idle"]
    assert (alarm["MetricName"], alarm["Dimensions"]) == ("ConcurrentRequestsPerCopy", OF_THE_COMPONENT)
    assert (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]) == ("Maximum", 60, 5)
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert 0 < alarm["Threshold"] < 1 / 32  # one request over as many copies as there can be
    assert policy["AdjustmentType"] == "ExactCapacity"
    assert policy["StepAdjustments"] == [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0}]


def test_one_of_several_copies_goes_when_they_have_half_of_their_requests(zero: Template) -> None:
    alarm, policy = acts(zero)["Quiet"]
    (expression,) = (metric["Expression"] for metric in alarm["Metrics"] if "Expression" in metric)
    assert expression == "IF(calls / percopy > 1.5 AND busiest <= 1.5, 1, 0)"  # the target is 3
    assert policy["AdjustmentType"] == "ChangeInCapacity"
    assert policy["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": -1}]


def test_one_copy_at_most_needs_no_policy_for_several(tmp_path: Any) -> None:
    assert set(acts(to_zero(tmp_path, "min: 0, max: 1"))) == {"FromZero", "Idle"}


def test_nothing_is_taken_for_want_of_data(zero: Template) -> None:
    for name, (alarm, _) in acts(zero).items():
        assert alarm["TreatMissingData"] == "notBreaching", name


def test_schedule_applies_to_copies_and_may_go_to_none(tmp_path: Any) -> None:
    night = '{cron: "0 19 ? * * *", timezone: Asia/Singapore, min: 0, max: 1}'
    template = to_zero(tmp_path, f"min: 1, max: 2, schedule: [{night}]")
    target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ResourceId"] == f"inference-component/{NAME}"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    (action,) = target["ScheduledActions"]
    assert action["Schedule"] == "cron(0 19 ? * * *)"
    assert action["Timezone"] == "Asia/Singapore"
    assert action["ScalableTargetAction"] == {"MinCapacity": 0, "MaxCapacity": 1}


def test_component_rolls_by_half_under_the_watch_of_two_alarms_of_its_own(zero: Template) -> None:
    config = only(zero, COMPONENT)["DeploymentConfig"]
    assert config["RollingUpdatePolicy"]["MaximumBatchSize"] == {"Type": "CAPACITY_PERCENT", "Value": 50}
    assert config["RollingUpdatePolicy"]["WaitIntervalInSeconds"] == 600
    assert 600 <= config["RollingUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] <= 28_800
    watched = [alarm["AlarmName"]["Ref"] for alarm in config["AutoRollbackConfiguration"]["Alarms"]]
    alarms = {
        name: alarm["Properties"]
        for name, alarm in zero.find_resources("AWS::CloudWatch::Alarm").items()
        if "Rollback" in name
    }
    assert set(watched) == set(alarms)
    assert {alarm["MetricName"] for alarm in alarms.values()} == {"Invocation5XXErrors", "ModelLatency"}
    assert all(alarm["Dimensions"] == OF_THE_COMPONENT for alarm in alarms.values())
    assert "DeploymentConfig" not in only(zero, "AWS::SageMaker::Endpoint")


def test_new_bounds_change_the_target_and_nothing_else(zero: Template, tmp_path: Any) -> None:
    more = to_zero(tmp_path, "min: 0, max: 5, idle_minutes: 5")
    before, after = (template.to_json()["Resources"] for template in (zero, more))
    assert [name for name in after if before.get(name) != after[name]] == [
        name for name in after if after[name]["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
    ]


def test_other_idle_minutes_change_what_scales_and_nothing_else(zero: Template, tmp_path: Any) -> None:
    longer = to_zero(tmp_path, "min: 0, max: 4, idle_minutes: 60")
    before, after = (template.to_json()["Resources"] for template in (zero, longer))
    changed = {name.partition("ComponentZero")[2][:-8] for name in after if before.get(name) != after[name]}
    assert changed == {"Idle", "FromZeroPolicy"}


def test_application_may_call_the_endpoint_and_its_component(tmp_path: Any) -> None:
    stack = stack_of(tmp_path, "min: 0, max: 1")
    (endpoint,) = (one for one in stack.node.find_all() if isinstance(one, LlmEndpoint))
    role = iam.Role(stack, "Application", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    endpoint.grant_invoke(role)
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy").items()
    (granted,) = (policy for name, policy in policies if name.startswith("Application"))
    text = json.dumps(granted["Properties"]["PolicyDocument"])
    assert f":endpoint/{NAME}" in text
    assert f":inference-component/{NAME}" in text


def test_people_hear_of_copies_and_of_calls_that_none_comes_for(whole_health_template: Template) -> None:
    alarms = {
        alarm["Properties"]["AlarmName"]: alarm["Properties"]
        for alarm in whole_health_template.find_resources("AWS::CloudWatch::Alarm").values()
        if str(alarm["Properties"].get("AlarmName", "")).startswith("health-codellama-34b-")
    }
    names = ("errors", "latency", "first-token", "capacity", "no-capacity", "gpu-memory")
    assert set(alarms) == {f"health-codellama-34b-{name}" for name in names}
    first_token = alarms.pop("health-codellama-34b-first-token")
    assert first_token["Dimensions"] == [{"Name": "EndpointName", "Value": "health-codellama-34b"}]
    component = [{"Name": "InferenceComponentName", "Value": "health-codellama-34b"}]
    assert all(alarm["Dimensions"] == component for alarm in alarms.values())
    nobody = alarms["health-codellama-34b-no-capacity"]
    assert (nobody["MetricName"], nobody["Statistic"]) == ("NoCapacityInvocationFailures", "Sum")
    assert nobody["Period"] * nobody["EvaluationPeriods"] == 30 * 60
    memory = alarms["health-codellama-34b-gpu-memory"]
    assert memory["Namespace"] == "/aws/sagemaker/InferenceComponents"
    assert memory["Threshold"] == 99  # a share of all four GPUs, not a sum


def test_fallback_to_one_instance_is_an_endpoint_as_before_with_a_warning(tmp_path: Any) -> None:
    text = (
        (FIXTURES / "justice.yaml")
        .read_text()
        .replace("{min: 1, max: 2}", "{min: 0, max: 2, without_zero: one}")
    )
    (tmp_path / "justice.yaml").write_text(text)
    lock = FIXTURES / "justice.lock.json"
    (tmp_path / lock.name).write_text(lock.read_text())
    fallback, before = make_stack(tmp_path / "justice.yaml"), make_stack(FIXTURES / "justice.yaml")
    assert Template.from_stack(fallback).to_json() == Template.from_stack(before).to_json()
    Annotations.from_stack(fallback).has_warning(
        "*", Match.string_like_regexp("min: 0 is 1: us-gov-west-1 has no inference components")
    )


def test_type_of_an_unknown_number_of_gpus_is_refused(tmp_path: Any) -> None:
    other = (
        "    instance_type: ml.g4dn.xlarge",
        "    image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/cpu:1\n    instance_type: ml.c5.xlarge",
    )
    with pytest.raises(Exception, match=r"default.yaml:\d+: models\[0\].instance_type: got 'ml.c5.xlarge'"):
        stack_of(tmp_path, "min: 0, max: 1", other)
