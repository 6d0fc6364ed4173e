"""A model behind a SageMaker real-time endpoint: autoscaled, and updated with a way back."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.agency import DEFAULT_P90_LATENCY_SECONDS, ModelConfig, NetworkConfig
from quant_llm.callers_data import AsyncRequests, capture_configuration
from quant_llm.catalogue import Placement
from quant_llm.data_bucket import DataBucket
from quant_llm.deployment import deployment_config
from quant_llm.endpoint_metrics import ComponentMetrics, EndpointMetrics
from quant_llm.endpoint_role import grant_hosting, grant_network_interfaces, grant_volume_key
from quant_llm.inference_component import InferenceComponent
from quant_llm.model_artifact import ModelArtifact
from quant_llm.production_variant import instances_for_components, instances_of_model
from quant_llm.rollback_alarms import RollbackAlarms
from quant_llm.scaling import scale_by_backlog, scale_instances

INSTANCE_STORE_IS_ENCRYPTED = (
    "NIST.800.53.R5-SageMakerEndpointConfigurationKMSKeyConfigured",
    "The model lies on the instance's own NVMe disks, which the hardware encrypts with keys that end with "
    "the instance. SageMaker refuses a key of ours for such types.",
)


class LlmEndpoint(Construct):
    """Model, endpoint configuration, endpoint and scaling of one entry in the agency file.

    The endpoint keeps its name for ever, clients hold it. Model and configuration are replaced with each
    change and the endpoint moves over to the new ones. Where there may be no instance at all, the model is an
    inference component of the same name, which moves over in the endpoint's place.

    `image` is the container's URI, `environment` what the container is told (see
    `quant_llm_serving.environment`), `placement` what the catalogue made of the model: instance type, machine
    image, disk and timeouts. `data` keeps what callers ask, for a model that is asynchronous or captures. An
    update whose p90 latency is above `p90_latency_seconds` is taken back.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        model: ModelConfig,
        artifact: ModelArtifact,
        image: str,
        environment: Mapping[str, str],
        placement: Placement,
        network: NetworkConfig | None,
        data: DataBucket | None = None,
        p90_latency_seconds: float = DEFAULT_P90_LATENCY_SECONDS,
    ) -> None:
        super().__init__(scope, construct_id)
        if data is None and (model.is_async or model.capture is not None):
            raise ValueError("'data' must be given for a model that is asynchronous or captures, got None")
        self.endpoint_name = name
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        self.scales_to_zero = model.is_component
        self.requests: AsyncRequests | None = None
        if model.is_async and data is not None:
            self.requests = AsyncRequests(
                self,
                "Requests",
                data=data,
                model_name=model.name,
                role=self.role,
                concurrency=model.concurrency,
            )
        components = (f"/aws/sagemaker/InferenceComponents/{name}",) if self.scales_to_zero else ()
        grant_hosting(self.role, f"/aws/sagemaker/Endpoints/{name}", *components)
        artifact.bucket.grant_read_model(self.role, model.name, lists=artifact.is_prefix)
        if network is not None:
            grant_network_interfaces(self.role)

        hosted = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            enable_network_isolation=True,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image,
                model_data_url=None if artifact.is_prefix else artifact.url,
                model_data_source=_files_under(artifact.url) if artifact.is_prefix else None,
                environment=dict(environment),
            ),
            vpc_config=None
            if network is None
            else sagemaker.CfnModel.VpcConfigProperty(
                subnets=list(network.subnet_ids), security_group_ids=list(network.security_group_ids)
            ),
        )
        # The artifact before the model; and the role's policy, which SageMaker uses at once.
        hosted.node.add_dependency(artifact, self.role)
        self._model_name = hosted.attr_model_name

        configuration = self._configuration(model, hosted, placement, network, artifact.bucket.key, data)
        if placement.why is not None:
            configuration.add_metadata("InstanceTypeChosen", placement.why)
        if placement.instance_store:
            acknowledge(configuration, *INSTANCE_STORE_IS_ENCRYPTED)
        rollback = RollbackAlarms(
            self,
            "Rollback",
            metrics=ComponentMetrics(name)
            if self.scales_to_zero
            else EndpointMetrics(name, configuration.attr_endpoint_config_name),
            name=hosted.attr_model_name if self.scales_to_zero else configuration.attr_endpoint_config_name,
            p90_latency_seconds=p90_latency_seconds,
            role=self.role,
        )
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Resource",
            endpoint_name=name,
            endpoint_config_name=configuration.attr_endpoint_config_name,
            # Without this each update sets the instance count back to the configuration's.
            retain_all_variant_properties=True,
            deployment_config=None
            if self.scales_to_zero
            else deployment_config(model, placement, rollback.alarms),
        )
        if self.scales_to_zero:
            InferenceComponent(
                self,
                "Component",
                name=name,
                endpoint=self.endpoint,
                hosted=hosted,
                model=model,
                placement=placement,
                rollback=rollback,
            )
        else:
            self.endpoint.node.add_dependency(rollback)
            scale = scale_by_backlog if model.is_async else scale_instances
            scale(
                self, endpoint_name=name, scaling=model.scaling, concurrency=model.concurrency
            ).node.add_dependency(self.endpoint)

    def _configuration(
        self,
        model: ModelConfig,
        hosted: sagemaker.CfnModel,
        placement: Placement,
        network: NetworkConfig | None,
        key: kms.IKey,
        data: DataBucket | None,
    ) -> sagemaker.CfnEndpointConfig:
        encrypted = placement.instance_store is False
        if encrypted:
            grant_volume_key(self.role, key)
        configuration = sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            kms_key_id=key.key_arn if encrypted else None,
            production_variants=[
                instances_for_components(model, placement)
                if self.scales_to_zero
                else instances_of_model(model, placement, hosted)
            ],
        )
        if self.requests is not None:
            configuration.async_inference_config = self.requests.configuration
        if model.capture is not None and data is not None:
            configuration.data_capture_config = capture_configuration(
                data, model.name, model.capture, self.role
            )
        if self.scales_to_zero:
            # Nothing begins before the artifact is there: an instance that waits for it would cost.
            configuration.node.add_dependency(hosted)
            # Of a variant without a model SageMaker takes these from here.
            configuration.execution_role_arn = self.role.role_arn
            configuration.enable_network_isolation = True
            if network is not None:
                configuration.vpc_config = sagemaker.CfnEndpointConfig.VpcConfigProperty(
                    subnets=list(network.subnet_ids), security_group_ids=list(network.security_group_ids)
                )
        return configuration

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let an application call the endpoint, whole and as a response stream; or leave requests for it."""
        if self.requests is not None:
            self.requests.grant_invoke(grantee)
            return iam.Grant.add_to_principal(
                grantee=grantee, actions=["sagemaker:InvokeEndpointAsync"], resource_arns=[self.arn]
            )
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"],
            resource_arns=[self.arn, self.component_arn] if self.scales_to_zero else [self.arn],
        )

    @property
    def target(self) -> dict[str, str]:
        """What an update moves, and to what: the endpoint to a configuration, or a component to a model."""
        if self.scales_to_zero:
            return {"InferenceComponentName": self.endpoint_name, "ModelName": self._model_name}
        return {"EndpointName": self.endpoint_name, "EndpointConfigName": self.endpoint.endpoint_config_name}

    @property
    def arn(self) -> str:
        """The endpoint's ARN."""
        return cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="endpoint", resource_name=self.endpoint_name
        )

    @property
    def component_arn(self) -> str:
        """The ARN of the inference component, which has the endpoint's name; only where there may be none."""
        return cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="inference-component", resource_name=self.endpoint_name
        )


def _files_under(url: str) -> sagemaker.CfnModel.ModelDataSourceProperty:
    """A model whose files SageMaker takes as they are, where an archive would be unpacked."""
    return sagemaker.CfnModel.ModelDataSourceProperty(
        s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
            s3_uri=url, s3_data_type="S3Prefix", compression_type="None"
        )
    )
