"""What SageMaker may do in an endpoint's name."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from quant_llm.acknowledge import acknowledge

_STREAMS = "The streams of the endpoint's own log group; SageMaker names them after its instances."


def grant_hosting(role: iam.Role, *log_group_names: str, streams: str = _STREAMS) -> None:
    """What SageMaker does in the role's name for every endpoint and job: container logs and metrics.

    `log_group_names` are those of the groups that it makes for the endpoint and its inference component;
    `streams` says why all streams of a group are allowed.
    """
    stack = cdk.Stack.of(role)
    log_groups = [
        stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=name,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        for name in log_group_names
    ]
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            resources=[arn for log_group in log_groups for arn in (log_group, f"{log_group}:*")],
        )
    )
    for name in log_group_names:
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:logs:{stack.region}:{stack.account}"
            f":log-group:{name}:*]",
            streams,
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


def grant_network_interfaces(role: iam.Role) -> None:
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


def grant_volume_key(role: iam.Role, key: kms.IKey) -> None:
    """The volumes that SageMaker attaches are encrypted under the key."""
    key.grant(role, "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext")
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["kms:CreateGrant"],
            resources=[key.key_arn],
            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
        )
    )
