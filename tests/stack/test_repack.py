"""How the stack hears of a repack that ends before its own end."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk.assertions import Template

from quant_llm_repack.state_machine import TIMEOUT_SECONDS

Json = Any


def text_of(value: Json) -> str:
    """An ARN with its references as `<…>`."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(map(text_of, value["Fn::Join"][1]))
    return f"<{value.get('Ref') or '.'.join(value['Fn::GetAtt'])}>"


def rule_of(template: Template) -> dict[str, Json]:
    (properties,) = [
        rule["Properties"]
        for rule in template.find_resources("AWS::Events::Rule").values()
        if rule["Properties"]["EventPattern"]["source"] == ["aws.states"]
    ]
    return dict(properties)


def repack_function(template: Template) -> str:
    (name,) = [
        name
        for name, resource in template.find_resources("AWS::Lambda::Function").items()
        if resource["Properties"]["Handler"] == "quant_llm_repack.handler.handle"
    ]
    return name


def test_every_end_but_success_calls_the_function(default_template: Template) -> None:
    rule = rule_of(default_template)
    assert rule["State"] == "ENABLED"
    assert rule["EventPattern"]["detail-type"] == ["Step Functions Execution Status Change"]
    detail = rule["EventPattern"]["detail"]
    assert set(detail["status"]) == {"ABORTED", "FAILED", "TIMED_OUT"}
    (machine,) = map(text_of, detail["stateMachineArn"])
    assert machine.endswith(":states:us-east-1:123456789012:stateMachine:QuantLlmStack-repack")
    (target,) = rule["Targets"]
    assert text_of(target["Arn"]) == f"<{repack_function(default_template)}.Arn>"
    assert not {"Input", "InputPath", "InputTransformer"} & set(target)


def test_no_execution_starts_before_its_end_would_be_heard_of(default_template: Template) -> None:
    for artifact in default_template.find_resources("Custom::ModelArtifact").values():
        kinds = {default_template.to_json()["Resources"][name]["Type"] for name in artifact["DependsOn"]}
        assert {"AWS::Events::Rule", "AWS::Lambda::Permission", "AWS::IAM::Policy"} <= kinds


def test_the_function_may_describe_executions_of_its_own_machine_alone(default_template: Template) -> None:
    granted = [
        text_of(statement["Resource"])
        for policy in default_template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "states:DescribeExecution" in statement["Action"]
    ]
    (where,) = granted
    assert where.endswith(":states:us-east-1:123456789012:execution:QuantLlmStack-repack:*")


def test_a_repack_ends_before_the_stack_stops_waiting_for_it(default_template: Template) -> None:
    (machine,) = [
        found
        for name, found in default_template.find_resources("AWS::StepFunctions::StateMachine").items()
        if "Repack" in name
    ]
    definition = json.loads(text_of(machine["Properties"]["DefinitionString"]))
    assert definition["TimeoutSeconds"] == TIMEOUT_SECONDS
    waits = [
        int(condition["Properties"]["Timeout"])
        for name, condition in default_template.find_resources("AWS::CloudFormation::WaitCondition").items()
        if "Published" in name
    ]
    assert waits
    assert min(waits) > TIMEOUT_SECONDS
