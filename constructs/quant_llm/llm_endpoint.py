"""A model behind a SageMaker real-time endpoint: autoscaled, and updated with a way back."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.agency import DEFAULT_P90_LATENCY_SECONDS, ModelConfig, NetworkConfig, ScalingConfig
from quant_llm.catalogue import Placement
from quant_llm.deployment import deployment_config
from quant_llm.model_artifact import ModelArtifact
from quant_llm.names import VARIANT_NAME
from quant_llm.rollback_alarms import RollbackAlarms

INSTANCE_STORE_IS_ENCRYPTED = (
    "NIST.800.53.R5-SageMakerEndpointConfigurationKMSKeyConfigured",
    "The model lies on the instance's own NVMe disks, which the hardware encrypts with keys that end with "
    "the instance. SageMaker refuses a key of ours for such types.",
)


class LlmEndpoint(Construct):
    """Model, endpoint configuration, endpoint and scaling of one entry in the agency file.

    The endpoint keeps its name for ever, clients hold it. Model and configuration are replaced with each
    change and the endpoint moves over to the new ones.

    `image` is the container's URI, `environment` what the container is told (see
    `quant_llm_serving.environment`), `placement` what the catalogue made of the model: instance type, machine
    image, disk and timeouts. An update whose p90 latency is above `p90_latency_seconds` is taken back.
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
        p90_latency_seconds: float = DEFAULT_P90_LATENCY_SECONDS,
    ) -> None:
        super().__init__(scope, construct_id)
        self.endpoint_name = name
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        _grant_hosting(self.role, name)
        artifact.bucket.grant_read_model(self.role, model.name, lists=artifact.is_prefix)
        if network is not None:
            _grant_network_interfaces(self.role)

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

        configuration = sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            kms_key_id=self._volume_key(artifact.bucket.key, placement),
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=VARIANT_NAME,
                    model_name=hosted.attr_model_name,
                    instance_type=placement.instance_type,
                    initial_instance_count=model.scaling.min,
                    initial_variant_weight=1,
                    inference_ami_version=placement.ami,
                    volume_size_in_gb=placement.volume_gb,
                    container_startup_health_check_timeout_in_seconds=placement.startup_seconds,
                    model_data_download_timeout_in_seconds=placement.download_seconds,
                    routing_config=sagemaker.CfnEndpointConfig.RoutingConfigProperty(
                        routing_strategy="LEAST_OUTSTANDING_REQUESTS"
                    ),
                )
            ],
        )
        if placement.why is not None:
            configuration.add_metadata("InstanceTypeChosen", placement.why)
        if placement.instance_store:
            acknowledge(configuration, *INSTANCE_STORE_IS_ENCRYPTED)
        rollback = RollbackAlarms(
            self,
            "Rollback",
            endpoint_name=name,
            configuration_name=configuration.attr_endpoint_config_name,
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
            deployment_config=deployment_config(model, placement, rollback.alarms),
        )
        self.endpoint.node.add_dependency(rollback)
        self._scale(model.scaling, model.concurrency)

    def _volume_key(self, key: kms.IKey, placement: Placement) -> str | None:
        """The ARN of the agency's key for the volume that SageMaker attaches, if it attaches one."""
        if placement.instance_store is not False:
            return None
        key.grant(self.role, "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext")
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:CreateGrant"],
                resources=[key.key_arn],
                conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
            )
        )
        return key.key_arn

    def _scale(self, scaling: ScalingConfig, concurrency: int) -> None:
        target = autoscaling.ScalableTarget(
            self,
            "Scaling",
            service_namespace=autoscaling.ServiceNamespace.SAGEMAKER,
            resource_id=f"endpoint/{self.endpoint_name}/variant/{VARIANT_NAME}",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=scaling.min,
            max_capacity=scaling.max,
            role=self._scaling_role(),
        )
        target.node.add_dependency(self.endpoint)
        target.scale_to_track_metric(
            "Concurrency",
            predefined_metric=(
                autoscaling.PredefinedMetric.SAGEMAKER_VARIANT_CONCURRENT_REQUESTS_PER_MODEL_HIGH_RESOLUTION
            ),
            target_value=scaling.target(concurrency),
        )
        for position, entry in enumerate(scaling.schedule):
            target.scale_on_schedule(
                f"Schedule{position}",
                schedule=autoscaling.Schedule.expression(f"cron({entry.cron})"),
                time_zone=cdk.TimeZone.of(entry.timezone),
                min_capacity=entry.min,
                max_capacity=entry.max,
            )

    def _scaling_role(self) -> iam.IRole:
        """The service-linked role, which AWS makes; SageMaker endpoints are scaled by no other."""
        arn = cdk.Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role",
            resource_name="aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
            "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
        )
        return iam.Role.from_role_arn(self, "ScalingRole", arn, mutable=False)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let an application call the endpoint, whole and as a response stream."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"],
            resource_arns=[self.arn],
        )

    @property
    def arn(self) -> str:
        """The endpoint's ARN."""
        return cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="endpoint", resource_name=self.endpoint_name
        )


def _files_under(url: str) -> sagemaker.CfnModel.ModelDataSourceProperty:
    """A model whose files SageMaker takes as they are, where an archive would be unpacked."""
    return sagemaker.CfnModel.ModelDataSourceProperty(
        s3_data_source=sagemaker.CfnModel.S3DataSourceProperty(
            s3_uri=url, s3_data_type="S3Prefix", compression_type="None"
        )
    )


def _grant_hosting(role: iam.Role, endpoint_name: str) -> None:
    """What SageMaker does in the role's name for every endpoint: container logs and metrics."""
    stack = cdk.Stack.of(role)
    log_group = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=f"/aws/sagemaker/Endpoints/{endpoint_name}",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            resources=[log_group, f"{log_group}:*"],
        )
    )
    acknowledge(
        role,
        f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:logs:{stack.region}:{stack.account}"
        f":log-group:/aws/sagemaker/Endpoints/{endpoint_name}:*]",
        "The streams of the endpoint's own log group; SageMaker names them after its instances.",
    )
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],  # the action knows no resources; the condition narrows it
            conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        )
    )
    acknowledge(
        role,
        "AwsSolutions-IAM5[Resource::*]",
        "cloudwatch:PutMetricData and ecr:GetAuthorizationToken know no resources, and a network interface "
        "has no name before it is made. Metrics are narrowed by namespace, images by repository.",
    )


def _grant_network_interfaces(role: iam.Role) -> None:
    """An endpoint in a VPC makes its own network interfaces there.

    The actions and resources are those of SageMaker's documentation, "Execution role permissions for a VPC".
    """
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            resources=["*"],
        )
    )
