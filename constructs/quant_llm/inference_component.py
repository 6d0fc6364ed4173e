"""A model on an endpoint whose instances come and go with its copies."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from quant_llm.agency import ModelConfig
from quant_llm.catalogue import Placement, most_instances
from quant_llm.deployment import component_deployment_config
from quant_llm.endpoint_metrics import ComponentMetrics
from quant_llm.names import VARIANT_NAME
from quant_llm.rollback_alarms import RollbackAlarms
from quant_llm.scale_to_zero import ScaleToZero
from quant_llm.scaling import scale_copies

RESERVED_MEMORY_MB: Final = 1024
"""Memory that a copy reserves on its instance: no limit, only a condition for its place.

It has the instance to itself, since it takes all of its GPUs, so the reservation keeps nobody away. A large
one keeps the copy itself away: what an instance has to give is much less than its memory, and AWS says
nowhere how much. This is the number in AWS's own examples.
"""


class InferenceComponent(Construct):
    """One model as an inference component: a copy takes all GPUs of one instance, so copies are instances.

    `name` is the component's, which is its endpoint's as well and stays for ever, `hosted` the SageMaker
    model. A component can't be created without a copy; after that the number is the autoscaler's.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        endpoint: sagemaker.CfnEndpoint,
        hosted: sagemaker.CfnModel,
        model: ModelConfig,
        placement: Placement,
        rollback: RollbackAlarms,
    ) -> None:
        super().__init__(scope, construct_id)
        self.component = sagemaker.CfnInferenceComponent(
            self,
            "Resource",
            inference_component_name=name,
            endpoint_name=endpoint.attr_endpoint_name,
            variant_name=VARIANT_NAME,
            runtime_config=sagemaker.CfnInferenceComponent.InferenceComponentRuntimeConfigProperty(
                copy_count=1
            ),
            specification=sagemaker.CfnInferenceComponent.InferenceComponentSpecificationProperty(
                model_name=hosted.attr_model_name,
                compute_resource_requirements=_resources(placement),
                startup_parameters=sagemaker.CfnInferenceComponent.InferenceComponentStartupParametersProperty(
                    container_startup_health_check_timeout_in_seconds=placement.startup_seconds,
                    model_data_download_timeout_in_seconds=placement.download_seconds,
                ),
            ),
            deployment_config=component_deployment_config(placement, rollback.alarms),
        )
        self.component.node.add_dependency(rollback)
        scaling = model.scaling
        target = scale_copies(self, component_name=name, scaling=scaling, concurrency=model.concurrency)
        target.node.add_dependency(self.component)
        ScaleToZero(
            self,
            "Zero",
            target=target,
            metrics=ComponentMetrics(name),
            target_value=scaling.target(model.concurrency),
            idle_minutes=scaling.idle,
            most=most_instances(model),
        )


def _resources(
    placement: Placement,
) -> sagemaker.CfnInferenceComponent.InferenceComponentComputeResourceRequirementsProperty:
    return sagemaker.CfnInferenceComponent.InferenceComponentComputeResourceRequirementsProperty(
        min_memory_required_in_mb=RESERVED_MEMORY_MB,
        number_of_accelerator_devices_required=placement.gpu_count,
    )
