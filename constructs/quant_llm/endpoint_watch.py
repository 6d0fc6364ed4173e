"""Who watches endpoints that are being created or updated: for the stack, and for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.agency import AgencyConfig, ModelConfig
from quant_llm.catalogue import Placement
from quant_llm.deployment import update_seconds
from quant_llm.python_function import PythonFunction
from quant_llm.state_machine import function_machine, state_machine_arn
from quant_llm_watchdog import state_machine
from quant_llm_watchdog.endpoint import DETAIL_TYPE, log_group
from quant_llm_watchdog.watch import Limits


class EndpointWatch(Construct):
    """A function that looks at endpoints while they change, and the state machine that lets it look again.

    It may read the state and the logs of the agency's endpoints and inference components, and change nothing.
    `placements` has each model's instance type and timeouts, by the model's name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        agency: AgencyConfig,
        placements: Mapping[str, Placement],
    ) -> None:
        super().__init__(scope, construct_id)
        models = [agency.deployed(model) for model in agency.models]
        self._endpoints = [agency.endpoint_name(model) for model in models]
        self._components = [agency.endpoint_name(model) for model in models if model.is_component]
        limits = {agency.endpoint_name(model): _limits(model, placements[model.name]) for model in models}
        # Named, because the function must know the machine that must know the function.
        name = f"{cdk.Stack.of(self).stack_name}-endpoints"
        arn = state_machine_arn(self, name)
        self.handler = PythonFunction(
            self,
            "Function",
            package="quant_llm_watchdog",
            description="Says why an endpoint does not come up, to the stack and to people",
            timeout=cdk.Duration.minutes(1),
            memory_mib=256,
            environment={
                "STATE_MACHINE_ARN": arn,
                "ENDPOINTS": json.dumps(
                    {name: asdict(limits[name]) for name in limits}, separators=(",", ":")
                ),
            },
        )
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["states:StartExecution"], resources=[arn])
        )
        self._grant_looking()
        self.machine = function_machine(
            self,
            name=name,
            definition=state_machine.definition(self.handler.function.function_arn),
            function=self.handler.function,
        )

    def notify(self, topic: sns.ITopic) -> None:
        """Send one notice of each incident to the topic."""
        self.handler.function.add_environment("NOTICE_TOPIC_ARN", topic.topic_arn)
        topic.grant_publish(self.handler.role)
        acknowledge(
            self.handler.role,
            "AwsSolutions-IAM5[Action::kms:GenerateDataKey*]",
            "Both forms of one action, on the key of the topic's messages.",
        )
        events.Rule(
            self,
            "Changed",
            description="When an endpoint begins to change, it is watched until it has ended",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=[DETAIL_TYPE],
                detail={"EndpointName": self._endpoints},
            ),
            targets=[targets.LambdaFunction(self.handler.function)],
        )

    def _grant_looking(self) -> None:
        stack = cdk.Stack.of(self)
        self.handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:DescribeEndpoint"],
                resources=[
                    stack.format_arn(service="sagemaker", resource="endpoint", resource_name=name)
                    for name in self._endpoints
                ],
            )
        )
        if self._components:
            self.handler.role.add_to_policy(
                iam.PolicyStatement(
                    actions=["sagemaker:DescribeInferenceComponent"],
                    resources=[
                        stack.format_arn(
                            service="sagemaker", resource="inference-component", resource_name=name
                        )
                        for name in self._components
                    ],
                )
            )
        names = [log_group(name) for name in self._endpoints]
        names += [log_group(name, component=True) for name in self._components]
        groups = [
            stack.format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in names
        ]
        self.handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:DescribeLogStreams", "logs:GetLogEvents"],
                resources=[resource for group in groups for resource in (group, f"{group}:*")],
            )
        )
        for name in names:
            acknowledge(
                self.handler.role,
                f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:logs:{stack.region}:{stack.account}"
                f":log-group:{name}:*]",
                "The streams of the endpoint's own log group; SageMaker names them after its instances.",
            )


class DeployWatch(Construct):
    """Fails the deploy with the container's own words when its endpoint does not come up.

    It runs beside the endpoint's own resource, from the moment its configuration is there: CloudFormation
    itself knows SageMaker's words only. docs/decisions/0007 says why it does not fail any sooner.

    `target` names what the endpoint moves to, as the custom resource has it: a configuration, or the model of
    its inference component. `version` is to change whenever that does: a wait condition can't be waited for
    again. A version that changes alone costs one look.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        watch: EndpointWatch,
        target: Mapping[str, str],
        version: str,
    ) -> None:
        super().__init__(scope, construct_id)
        handle = cdk.CfnWaitConditionHandle(self, f"Handle{version}")
        started = cdk.CustomResource(
            self,
            "Resource",
            service_token=watch.handler.function.function_arn,
            resource_type="Custom::EndpointWatch",
            properties={**target, "WaitHandle": handle.ref},
            # It only starts the watch; without this a lost answer blocks for an hour.
            service_timeout=cdk.Duration.minutes(5),
        )
        # Its permissions are made beside the function, not by it: deploy them first, remove them last.
        started.node.add_dependency(watch)
        ended = cdk.CfnWaitCondition(
            self, f"Serves{version}", handle=handle.ref, timeout=str(cdk.Duration.hours(12).to_seconds())
        )
        ended.node.add_dependency(started)


def version_of(*parts: object) -> str:
    """A short digest of plain data."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _limits(model: ModelConfig, placement: Placement) -> Limits:
    return Limits(
        instance_type=placement.instance_type,
        start_seconds=placement.download_seconds + placement.startup_seconds,
        update_seconds=update_seconds(model, placement),
    )
