"""How the number of instances, or of an inference component's copies, follows the requests and the clock."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_iam as iam
from constructs import Construct

from quant_llm.agency import ScalingConfig
from quant_llm.endpoint_metrics import AsyncMetrics
from quant_llm.names import VARIANT_NAME

_INSTANCES: Final = "sagemaker:variant:DesiredInstanceCount"
_START_MINUTES: Final = 10
"""Minutes that a new instance takes to answer: until then the queue is as long, and asks for more."""

_COPIES: Final = "sagemaker:inference-component:DesiredCopyCount"


def scale_instances(
    scope: Construct, *, endpoint_name: str, scaling: ScalingConfig, concurrency: int
) -> autoscaling.ScalableTarget:
    """Between `min` and `max` instances, so many that each has the target number of requests at a time."""
    target = _target(scope, f"endpoint/{endpoint_name}/variant/{VARIANT_NAME}", _INSTANCES, scaling)
    target.scale_to_track_metric(
        "Concurrency",
        predefined_metric=(
            autoscaling.PredefinedMetric.SAGEMAKER_VARIANT_CONCURRENT_REQUESTS_PER_MODEL_HIGH_RESOLUTION
        ),
        target_value=scaling.target(concurrency),
    )
    return target


def scale_copies(
    scope: Construct, *, component_name: str, scaling: ScalingConfig, concurrency: int
) -> autoscaling.ScalableTarget:
    """The same for copies, but only upwards: what takes them away is `quant_llm.scale_to_zero`."""
    target = _target(scope, f"inference-component/{component_name}", _COPIES, scaling)
    metric = autoscaling.PredefinedMetric
    target.scale_to_track_metric(
        "Concurrency",
        predefined_metric=(metric.SAGEMAKER_INFERENCE_COMPONENT_CONCURRENT_REQUESTS_PER_COPY_HIGH_RESOLUTION),
        target_value=scaling.target(concurrency),
        disable_scale_in=True,
    )
    return target


def scale_by_backlog(
    scope: Construct, *, endpoint_name: str, scaling: ScalingConfig, concurrency: int
) -> autoscaling.ScalableTarget:
    """Instances of an asynchronous endpoint, so many that none has more requests than it can answer.

    From none the first comes when a request waits: without an instance there is no backlog per instance. The
    last one goes by the tracking itself, when the queue has been empty for a quarter of an hour.
    """
    target = _target(scope, f"endpoint/{endpoint_name}/variant/{VARIANT_NAME}", _INSTANCES, scaling)
    metrics = AsyncMetrics(endpoint_name)
    minute, start = cdk.Duration.minutes(1), cdk.Duration.minutes(_START_MINUTES)
    target.scale_to_track_metric(
        "Backlog",
        custom_metric=metrics.backlog_per_instance(minute),
        target_value=concurrency if scaling.target_concurrency is None else scaling.target_concurrency,
        scale_in_cooldown=start,
        scale_out_cooldown=start,
    )
    if scaling.least == 0:
        target.scale_on_metric(
            "FromZero",
            metric=metrics.backlog_without_capacity(minute),
            adjustment_type=autoscaling.AdjustmentType.CHANGE_IN_CAPACITY,
            scaling_steps=[
                autoscaling.ScalingInterval(upper=1, change=0),
                autoscaling.ScalingInterval(lower=1, change=1),
            ],
            evaluation_periods=1,
            cooldown=start,
        )
    return target


def _target(
    scope: Construct, resource_id: str, dimension: str, scaling: ScalingConfig
) -> autoscaling.ScalableTarget:
    target = autoscaling.ScalableTarget(
        scope,
        "Scaling",
        service_namespace=autoscaling.ServiceNamespace.SAGEMAKER,
        resource_id=resource_id,
        scalable_dimension=dimension,
        min_capacity=scaling.min,
        max_capacity=scaling.max,
        role=_scaling_role(scope),
    )
    for position, entry in enumerate(scaling.schedule):
        target.scale_on_schedule(
            f"Schedule{position}",
            schedule=autoscaling.Schedule.expression(f"cron({entry.cron})"),
            time_zone=cdk.TimeZone.of(entry.timezone),
            min_capacity=entry.min,
            max_capacity=entry.max,
        )
    return target


def _scaling_role(scope: Construct) -> iam.IRole:
    """The service-linked role, which AWS makes; SageMaker endpoints are scaled by no other."""
    arn = cdk.Stack.of(scope).format_arn(
        service="iam",
        region="",
        resource="role",
        resource_name="aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
        "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    )
    return iam.Role.from_role_arn(scope, "ScalingRole", arn, mutable=False)
