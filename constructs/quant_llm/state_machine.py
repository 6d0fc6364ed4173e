"""A state machine of Step Functions whose tasks are all done by one function of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from quant_llm.acknowledge import acknowledge


def state_machine_arn(scope: Construct, name: str) -> str:
    """The ARN of a machine by its name, for the function that the machine must know first."""
    return cdk.Stack.of(scope).format_arn(
        service="states",
        resource="stateMachine",
        resource_name=name,
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )


def function_machine(
    scope: Construct, *, name: str, definition: Mapping[str, Any], function: lambda_.Function
) -> stepfunctions.StateMachine:
    """The machine `Machine` with its log group `MachineLogs`; it may call `function` and nothing else."""
    machine = stepfunctions.StateMachine(
        scope,
        "Machine",
        state_machine_name=name,
        # Not Stack.to_json_string, which drops nulls: `"ResultPath": null` has a meaning.
        definition_body=stepfunctions.DefinitionBody.from_string(json.dumps(definition)),
        tracing_enabled=True,
        logs=stepfunctions.LogOptions(
            destination=logs.LogGroup(
                scope,
                "MachineLogs",
                retention=logs.RetentionDays.ONE_YEAR,
                removal_policy=cdk.RemovalPolicy.DESTROY,
            ),
            level=stepfunctions.LogLevel.ALL,
        ),
    )
    machine.add_to_role_policy(
        iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn])
    )
    acknowledge(
        machine,
        "AwsSolutions-IAM5[Resource::*]",
        "The actions of log delivery and X-Ray know no resources.",
    )
    return machine
