"""What an agency file says about scaling, read back through AWS's own API, and what an update changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import AgencyConfig, load_agency, locked
from quant_llm.paths import ROOT
from quant_llm_tools.local_aws import images
from stacks.quant_llm_stack import QuantLlmStack
from tests.integration.hosting.embedded import CONTEXT, FAKE_IMAGE, FAKE_REPOSITORY, ROLE, create_role
from tests.integration.local_aws.account import Account

DEFAULT = ROOT / "agencies" / "default.yaml"
NAME = "default-smollm2-135m"
STACK = "scaling"
CLOCK = 'schedule: [{cron: "0 8 ? * MON-FRI *", timezone: Asia/Singapore, min: 2, max: 3}'
NIGHT = ', {cron: "0 19 ? * MON-FRI *", timezone: Asia/Singapore, min: 0, max: 3}]'

ABOUT_SCALING = (
    "AWS::SageMaker::Model",
    "AWS::SageMaker::EndpointConfig",
    "AWS::SageMaker::Endpoint",
    "AWS::SageMaker::InferenceComponent",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
)


@pytest.fixture(scope="module")
def hosting(account: Account) -> Account:
    images.register(FAKE_REPOSITORY, "1", CONTEXT)
    create_role(account.client("iam"))
    return account


@pytest.fixture
def stack(hosting: Account) -> Iterator[Account]:
    yield hosting
    hosting.destroy(STACK)


def agency_of(directory: Path, scaling: str) -> AgencyConfig:
    path = directory / DEFAULT.name
    path.write_text(DEFAULT.read_text().replace("{min: 1, max: 2}", f"{{{scaling}}}"))
    (directory / "default.lock.json").write_text(DEFAULT.with_name("default.lock.json").read_text())
    return load_agency(path)


def resources(directory: Path, scaling: str, **environment: str) -> dict[str, Any]:
    """What of the agency's stack is about scaling, with a container that is ready at once for the model."""
    agency = agency_of(directory, scaling)
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    locks = locked(agency, directory / DEFAULT.name)
    stack = QuantLlmStack(cdk.App(context=flags), agency.stack_name, agency=agency, locks=locks)
    whole = Template.from_stack(stack).to_json()["Resources"]
    kept = {name: found for name, found in whole.items() if found["Type"] in ABOUT_SCALING}
    for found in kept.values():
        found["DependsOn"] = [name for name in found.get("DependsOn", []) if name in kept]
        if found["Type"] == "AWS::SageMaker::Model":
            container = {"Image": FAKE_IMAGE, "Environment": environment}
            found["Properties"] |= {"PrimaryContainer": container, "ExecutionRoleArn": ROLE}
        if "ExecutionRoleArn" in found["Properties"]:
            found["Properties"]["ExecutionRoleArn"] = ROLE
    return kept


def deploy(account: Account, directory: Path, scaling: str, **environment: str) -> set[str]:
    """The logical ids that the deploy made, changed or removed."""
    before = len(account.events(STACK)) if exists(account) else 0
    status = account.deploy(STACK, resources(directory, scaling, **environment))["StackStatus"]
    assert status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), account.events(STACK)
    events = account.events(STACK)
    return {event["LogicalResourceId"] for event in events[before:]} - {STACK}


def exists(account: Account) -> bool:
    stacks = account.client("cloudformation").list_stacks()["StackSummaries"]
    return any(one["StackName"] == STACK and one["StackStatus"] != "DELETE_COMPLETE" for one in stacks)


def scaling_of(account: Account) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The one scalable target, its policies by the last word of their names, its scheduled actions."""
    client = account.client("application-autoscaling")
    (target,) = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    actions = client.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    for one in (*policies, *actions):
        assert one["ResourceId"] == target["ResourceId"]
        assert one["ScalableDimension"] == target["ScalableDimension"]
    names = ("Concurrency", "FromZero", "Quiet", "Idle")
    return target, {name: one for name in names for one in policies if name in one["PolicyName"]}, actions


def alarms(account: Account) -> dict[str, dict[str, Any]]:
    """The alarms, by the policy that they set off or by their metric."""
    found = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {
        one["AlarmActions"][0].rpartition("/")[2] if one["AlarmActions"] else one["MetricName"]: one
        for one in found
    }


def component(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = account.client("sagemaker").describe_inference_component(
        InferenceComponentName=NAME
    )
    del found["ResponseMetadata"]
    return found


def endpoint(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = account.client("sagemaker").describe_endpoint(EndpointName=NAME)
    del found["ResponseMetadata"]
    return found


def scale(account: Account, copies: int) -> None:
    """What Application Auto Scaling does when a policy says so."""
    account.client("sagemaker").update_inference_component_runtime_config(
        InferenceComponentName=NAME, DesiredRuntimeConfig={"CopyCount": copies}
    )
    while component(account)["InferenceComponentStatus"] == "Updating":
        pass


def greeting(account: Account) -> str:
    answer = account.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=NAME, InferenceComponentName=NAME, Body=b"{}"
    )
    return str(json.load(answer["Body"])["environment"]["FAKE_GREETING"])


def test_scaling_of_instances_is_the_files_and_an_update_changes_that_alone(
    stack: Account, tmp_path: Path
) -> None:
    deploy(stack, tmp_path, f"min: 1, max: 3, target_concurrency: 2.5, {CLOCK}]")
    target, policies, (action,) = scaling_of(stack)
    assert target["ResourceId"] == f"endpoint/{NAME}/variant/AllTraffic"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    assert set(policies) == {"Concurrency"}
    assert policies["Concurrency"]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 2.5
    assert (action["Schedule"], action["Timezone"]) == ("cron(0 8 ? * MON-FRI *)", "Asia/Singapore")
    assert action["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 3}

    stack.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=NAME,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}],
    )
    before = endpoint(stack)
    (changed,) = deploy(stack, tmp_path, f"min: 1, max: 4, target_concurrency: 2.5, {CLOCK}]")
    assert "Scaling" in changed
    assert scaling_of(stack)[0]["MaxCapacity"] == 4
    assert endpoint(stack) == before

    deploy(stack, tmp_path, "min: 1, max: 4, target_concurrency: 2")
    _, policies, actions = scaling_of(stack)
    assert policies["Concurrency"]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 2
    assert actions == []
    assert endpoint(stack) == before


def test_scaling_to_zero_is_the_files(stack: Account, tmp_path: Path) -> None:
    deploy(stack, tmp_path, f"min: 0, max: 3, idle_minutes: 7, {CLOCK}{NIGHT}", FAKE_GREETING="hello")
    target, policies, actions = scaling_of(stack)
    assert target["ResourceId"] == f"inference-component/{NAME}"
    assert target["ScalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 3)
    bounds = {action["Schedule"]: action["ScalableTargetAction"] for action in actions}
    assert bounds == {
        "cron(0 8 ? * MON-FRI *)": {"MinCapacity": 2, "MaxCapacity": 3},
        "cron(0 19 ? * MON-FRI *)": {"MinCapacity": 0, "MaxCapacity": 3},
    }
    tracking = policies["Concurrency"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 3
    assert tracking["DisableScaleIn"] is True
    steps = {
        name: policy["StepScalingPolicyConfiguration"]["StepAdjustments"][0]["ScalingAdjustment"]
        for name, policy in policies.items()
        if policy["PolicyType"] == "StepScaling"
    }
    assert steps == {"FromZero": 1, "Quiet": -1, "Idle": 0}
    set_off = {name: alarms(stack)[policies[name]["PolicyARN"].rpartition("/")[2]] for name in steps}
    assert set_off["FromZero"]["MetricName"] == "NoCapacityInvocationFailures"
    assert set_off["Idle"]["EvaluationPeriods"] * set_off["Idle"]["Period"] == 7 * 60
    assert {metric["Id"] for metric in set_off["Quiet"]["Metrics"]} >= {"calls", "percopy", "busiest"}

    assert component(stack)["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert greeting(stack) == "hello"
    configuration = stack.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=endpoint(stack)["EndpointConfigName"]
    )
    (variant,) = configuration["ProductionVariants"]
    assert variant["ManagedInstanceScaling"]["MinInstanceCount"] == 0
    assert configuration["EnableNetworkIsolation"] is True
    assert configuration["ExecutionRoleArn"] == ROLE


def test_update_of_a_component_changes_what_the_file_changed_and_not_its_copies(
    stack: Account, tmp_path: Path
) -> None:
    deploy(stack, tmp_path, "min: 0, max: 2", FAKE_GREETING="one")
    scale(stack, 2)
    before, before_endpoint = component(stack), endpoint(stack)
    (changed,) = deploy(stack, tmp_path, "min: 0, max: 3", FAKE_GREETING="one")
    assert "Scaling" in changed
    assert scaling_of(stack)[0]["MaxCapacity"] == 3
    assert component(stack) == before

    for copies, word in ((2, "two"), (0, "three")):
        scale(stack, copies)
        changed_by_model = deploy(stack, tmp_path, "min: 0, max: 3", FAKE_GREETING=word)
        assert not any("Configuration" in name or "Scaling" in name for name in changed_by_model)
        assert component(stack)["RuntimeConfig"] == {"DesiredCopyCount": copies, "CurrentCopyCount": copies}
    assert endpoint(stack) == before_endpoint
    assert component(stack)["Specification"]["ModelName"] != before["Specification"]["ModelName"]
    scale(stack, 1)
    assert greeting(stack) == "three"


def test_component_that_does_not_start_fails_the_deploy_with_the_containers_words(
    hosting: Account, tmp_path: Path
) -> None:
    made = resources(tmp_path, "min: 0, max: 1", FAKE_MODE="exit")
    assert hosting.deploy("broken", made)["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [event.get("ResourceStatusReason", "") for event in hosting.events("broken")]
    assert any("Container exited with code 3: no model here: found nothing" in reason for reason in reasons)
    assert hosting.client("sagemaker").list_inference_components()["InferenceComponents"] == []
