"""How an update of an endpoint replaces its instances, and what takes it back.

The bounds are those of SageMaker's API reference: RollingUpdatePolicy, BlueGreenUpdatePolicy, CapacitySize.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sagemaker as sagemaker

from quant_llm.agency import ModelConfig
from quant_llm.agency.relations import ROLLING_LEAST
from quant_llm.catalogue import Placement
from quant_llm.thresholds import BAKE_MINUTES

_BAKE_SECONDS: Final = BAKE_MINUTES * 60

PROVISION_SECONDS: Final = 3600
"""What each batch may wait for instances: GPUs are scarce, and giving up takes the update back."""

_LONGEST_SECONDS: Final = 28_800
"""SageMaker's bound of a whole update."""

_ROLLING_BATCHES: Final = 3
"""Of an odd number half is rounded down: three are three batches."""

_BLUE_GREEN_BATCHES: Final = 2
"""The canary, then the rest."""


def rolls(model: ModelConfig) -> bool:
    """Whether an update goes through the instances in batches.

    A batch is 5 to 50 % of the instances. How many run is the autoscaler's business, so the rule is the least
    there can be: of one instance no whole one is within the bounds.
    """
    return model.deployment != "blue-green" and model.scaling.least >= ROLLING_LEAST


def deployment_config(
    model: ModelConfig, placement: Placement, alarms: Sequence[cloudwatch.IAlarm]
) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
    """Rolling: half at a time. Blue/green: the new beside the old, one of them first where there are several.

    Either way the new instances serve for BAKE_MINUTES before old ones go; an alarm within takes all back.
    """
    return sagemaker.CfnEndpoint.DeploymentConfigProperty(
        rolling_update_policy=_rolling(placement) if rolls(model) else None,
        blue_green_update_policy=None if rolls(model) else _blue_green(model, placement),
        auto_rollback_configuration=sagemaker.CfnEndpoint.AutoRollbackConfigProperty(
            alarms=[sagemaker.CfnEndpoint.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
        ),
    )


def component_deployment_config(
    placement: Placement, alarms: Sequence[cloudwatch.IAlarm]
) -> sagemaker.CfnInferenceComponent.InferenceComponentDeploymentConfigProperty:
    """Rolling, half of an inference component's copies at a time, for as long under watch.

    How many copies there are is the autoscaler's business: of the forms that the API takes only a share is
    within its bounds, 5 to 50 %, whatever their number.
    """
    component = sagemaker.CfnInferenceComponent
    return component.InferenceComponentDeploymentConfigProperty(
        rolling_update_policy=component.InferenceComponentRollingUpdatePolicyProperty(
            maximum_batch_size=component.InferenceComponentCapacitySizeProperty(
                type="CAPACITY_PERCENT", value=50
            ),
            wait_interval_in_seconds=_BAKE_SECONDS,
            maximum_execution_timeout_in_seconds=_time_limit(placement, batches=_ROLLING_BATCHES),
        ),
        auto_rollback_configuration=component.AutoRollbackConfigurationProperty(
            alarms=[component.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
        ),
    )


def _rolling(placement: Placement) -> sagemaker.CfnEndpoint.RollingUpdatePolicyProperty:
    return sagemaker.CfnEndpoint.RollingUpdatePolicyProperty(
        maximum_batch_size=sagemaker.CfnEndpoint.CapacitySizeProperty(type="CAPACITY_PERCENT", value=50),
        wait_interval_in_seconds=_BAKE_SECONDS,
        maximum_execution_timeout_in_seconds=_time_limit(placement, batches=_ROLLING_BATCHES),
    )


def _blue_green(
    model: ModelConfig, placement: Placement
) -> sagemaker.CfnEndpoint.BlueGreenUpdatePolicyProperty:
    routing = sagemaker.CfnEndpoint.TrafficRoutingConfigProperty
    if model.scaling.least >= ROLLING_LEAST:
        # A canary is at most half of the instances.
        first = sagemaker.CfnEndpoint.CapacitySizeProperty(type="INSTANCE_COUNT", value=1)
        traffic = routing(type="CANARY", canary_size=first, wait_interval_in_seconds=_BAKE_SECONDS)
    else:
        # The API wants an interval, though there is one step only.
        traffic = routing(type="ALL_AT_ONCE", wait_interval_in_seconds=_BAKE_SECONDS)
    return sagemaker.CfnEndpoint.BlueGreenUpdatePolicyProperty(
        traffic_routing_configuration=traffic,
        # Once all traffic is on the new instances the old ones stay for as long again, to go back to.
        termination_wait_in_seconds=_BAKE_SECONDS,
        maximum_execution_timeout_in_seconds=_time_limit(placement, batches=_BLUE_GREEN_BATCHES),
    )


def update_seconds(model: ModelConfig, placement: Placement) -> int:
    """Seconds after which SageMaker takes an update back that has not ended."""
    return _time_limit(placement, batches=_ROLLING_BATCHES if rolls(model) else _BLUE_GREEN_BATCHES)


def _time_limit(placement: Placement, *, batches: int) -> int:
    """Seconds that an update may take: instances, the model on them, the watch; for each batch."""
    batch = PROVISION_SECONDS + placement.download_seconds + placement.startup_seconds + _BAKE_SECONDS
    return min(_LONGEST_SECONDS, batches * batch)
