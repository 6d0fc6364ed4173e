"""The instances of an endpoint, as its configuration asks for them."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_sagemaker as sagemaker

from quant_llm.agency import ModelConfig
from quant_llm.catalogue import Placement, most_instances
from quant_llm.names import VARIANT_NAME

LEAST_ROOM: Final = 32
"""The greatest number of instances that SageMaker may bring up for copies, unless twice the file's is more.

How many run is the autoscaler's business: the copies, each of which has an instance to itself. The room above
is for updates, which bring new copies up beside old ones; and it is not the file's number, because then a new
`max` would replace the endpoint's configuration.
"""

_Variant = sagemaker.CfnEndpointConfig.ProductionVariantProperty
_ROUTING = sagemaker.CfnEndpointConfig.RoutingConfigProperty(routing_strategy="LEAST_OUTSTANDING_REQUESTS")


def instances_of_model(model: ModelConfig, placement: Placement, hosted: sagemaker.CfnModel) -> _Variant:
    """Instances that run one model each, `min` of them to begin with; but at least one."""
    return _Variant(
        variant_name=VARIANT_NAME,
        model_name=hosted.attr_model_name,
        instance_type=placement.instance_type,
        initial_instance_count=max(1, model.scaling.min),
        initial_variant_weight=1,
        inference_ami_version=placement.ami,
        volume_size_in_gb=placement.volume_gb,
        container_startup_health_check_timeout_in_seconds=placement.startup_seconds,
        model_data_download_timeout_in_seconds=placement.download_seconds,
        # Instances of an asynchronous endpoint fetch their requests themselves.
        routing_config=None if model.is_async else _ROUTING,
    )


def instances_for_components(model: ModelConfig, placement: Placement) -> _Variant:
    """Instances that SageMaker brings up when a copy of an inference component needs one, down to none.

    How long a copy may take to start is the component's to say: new weights change it, and not this.
    """
    return _Variant(
        variant_name=VARIANT_NAME,
        instance_type=placement.instance_type,
        initial_instance_count=1,
        inference_ami_version=placement.ami,
        volume_size_in_gb=placement.volume_gb,
        managed_instance_scaling=sagemaker.CfnEndpointConfig.ManagedInstanceScalingProperty(
            status="ENABLED",
            min_instance_count=0,
            max_instance_count=_room(model),
        ),
        routing_config=_ROUTING,
    )


def scaling_of_configuration(model: ModelConfig) -> tuple[int, int]:
    """What of the file's scaling the configuration has: another `max` or schedule does not replace it."""
    return (0, _room(model)) if model.is_component else (max(1, model.scaling.min), 0)


def _room(model: ModelConfig) -> int:
    return max(LEAST_ROOM, 2 * most_instances(model))
