"""The state machine that brings models from the hub into the bucket, and the function that does its tasks."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.agency import HubConfig, NetworkConfig
from quant_llm.model_bucket import ModelBucket
from quant_llm.python_function import PythonFunction
from quant_llm.state_machine import function_machine, state_machine_arn
from quant_llm_repack import ended, state_machine

# A function's network gives about 75 MB/s: ten of them move 40 GB in about a minute, by that arithmetic, and
# stay far below the hub's limits for an anonymous client.
DEFAULT_WORKERS = 10


class Repack(Construct):
    """Plan, copy with many workers, verify, publish: however long it takes, and again after a fault.

    `workers` functions copy at a time. The models of a stack share the state machine. `hub` is the way to the
    hub, and `network` what it may attach the function to. Memory: at 1,769 MiB a
    function has one whole CPU; hashing needs the CPU, not the memory.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: ModelBucket,
        workers: int = DEFAULT_WORKERS,
        hub: HubConfig | None = None,
        network: NetworkConfig | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = bucket
        stack = cdk.Stack.of(self)
        # Named, because the function must know the machine that must know the function.
        name = f"{stack.stack_name}-repack"
        arn = state_machine_arn(self, name)
        self.handler = PythonFunction(
            self,
            "Function",
            package="quant_llm_repack",
            description="Brings the files of a lock into S3 and verifies every byte",
            timeout=cdk.Duration.minutes(15),
            memory_mib=1769,
            environment={
                "STATE_MACHINE_ARN": arn,
                "WORKERS": str(workers),
                **({} if hub is None else _way_to(hub, stack.url_suffix)),
            },
            network=network if hub is not None and hub.in_network else None,
        )
        bucket.grant_publish(self.handler.role)
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[arn])
        )
        definition = state_machine.definition(self.handler.function.function_arn, workers)
        self.machine = function_machine(
            self, name=name, definition=definition, function=self.handler.function
        )
        self._clear_up_after(arn, name)

    def _clear_up_after(self, arn: str, name: str) -> None:
        """Tell the function of executions that ended before their own end: nobody else tells the stack."""
        stack = cdk.Stack.of(self)
        executions = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{name}:*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        # An execution's input that is too large for an event is read from there.
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["states:DescribeExecution"], resources=[executions])
        )
        acknowledge(
            self.handler.role,
            f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:states:{stack.region}:{stack.account}"
            f":execution:{name}:*]",
            "The executions of this one state machine, whose names CloudFormation makes",
        )
        events.Rule(
            self,
            "Ended",
            description="When a repack is stopped or takes too long, CloudFormation is told",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=[ended.DETAIL_TYPE],
                detail={"stateMachineArn": [arn], "status": list(ended.STATUSES)},
            ),
            targets=[targets.LambdaFunction(self.handler.function)],
        )


def _way_to(hub: HubConfig, aws_domain: str) -> dict[str, str]:
    """The function's variables, by the names that clients of the hub and of proxies know."""
    variables = {} if hub.endpoint is None else {"HF_ENDPOINT": hub.endpoint.rstrip("/")}
    if hub.proxy is not None:
        # boto3 would take the proxy as well, with the whole model twice.
        variables |= {"HTTPS_PROXY": hub.proxy, "HTTP_PROXY": hub.proxy, "NO_PROXY": f".{aws_domain}"}
    return variables
