"""A Lambda function whose code is one package under `lambdas/` and the package that the functions share."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.agency import NetworkConfig
from quant_llm.paths import LAMBDAS, LEFTOVERS

_NO_VPC = "NIST.800.53.R5-LambdaInsideVPC"
_ACCEPTED = {
    "NIST.800.53.R5-LambdaConcurrency": "Deployments of this stack call it, its state machine with a fixed "
    "number of workers, and events of its own endpoints. A reservation would be taken from the account's "
    "other functions.",
    "NIST.800.53.R5-LambdaDLQ": "CloudFormation and the state machine wait for its answer, and fail in time, "
    "with a reason, when none comes; events Lambda tries again by itself. A queue of dead letters would have "
    "no reader.",
    _NO_VPC: "It serves nothing and reaches nothing private: it calls AWS's APIs, "
    "and the repack the public model hub, over TLS. In a VPC it would need a NAT gateway for the same calls.",
}

_SHARED_PACKAGE = "quant_llm_lambda"


class PythonFunction(Construct):
    """A function on the Python runtime with its own log group and a role that may write to that group only.

    `package` is the folder under `lambdas/`; its handler is `<package>.handler.handle`. With a `network` the
    function is attached to its subnets and security groups.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        package: str,
        description: str,
        timeout: cdk.Duration,
        memory_mib: int,
        environment: Mapping[str, str] | None = None,
        network: NetworkConfig | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        if not (LAMBDAS / package / "handler.py").is_file():
            raise ValueError(f"'package' must be a folder with a handler.py under {LAMBDAS}, got {package!r}")
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.log_group.grant_write(self.role)
        others = [
            folder.name
            for folder in sorted(LAMBDAS.iterdir())
            if folder.is_dir() and folder.name not in (package, _SHARED_PACKAGE)
        ]
        self.function = lambda_.Function(
            self,
            "Resource",
            description=description,
            code=lambda_.Code.from_asset(str(LAMBDAS), exclude=[*LEFTOVERS, *others]),
            handler=f"{package}.handler.handle",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            role=self.role,
            log_group=self.log_group,
            timeout=timeout,
            memory_size=memory_mib,
            environment=dict(environment or {}),
        )
        for rule, reason in _ACCEPTED.items():
            if network is None or rule != _NO_VPC:
                acknowledge(self.function, rule, reason)
        if network is not None:
            self._attach(network)

    def _attach(self, network: NetworkConfig) -> None:
        """CDK's own way needs the VPC's availability zones, which an agency file doesn't name."""
        function = self.function.node.default_child
        assert isinstance(function, lambda_.CfnFunction)  # noqa: S101 - for the type checker
        function.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(network.subnet_ids), security_group_ids=list(network.security_group_ids)
        )
        # The actions of AWS's managed policy AWSLambdaVPCAccessExecutionRole, less its access to logs.
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "ec2:AssignPrivateIpAddresses",
                    "ec2:CreateNetworkInterface",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSubnets",
                    "ec2:UnassignPrivateIpAddresses",
                ],
                resources=["*"],
            )
        )
        acknowledge(
            self.role,
            "AwsSolutions-IAM5[Resource::*]",
            "A network interface has no name before it is made, and describing knows no resources.",
        )
        # The function needs its interfaces from its first moment, and until it is gone.
        function.node.add_dependency(self.role)
