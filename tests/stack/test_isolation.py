"""Network, encryption, roles and tags: each on where the file asks for it, and off where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from quant_llm.llm_endpoint import LlmEndpoint
from quant_llm_tools.local_aws.cloudformation.schemas import tags_form
from tests.stack.conftest import DEFAULT, make_stack

BOUNDARY = "arn:aws:iam::210987654321:policy/GccBoundary"
CPU = (
    (
        "    instance_type: ml.g4dn.xlarge",
        "    image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/cpu:1\n    instance_type: ml.c5.xlarge",
    ),
)


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def statements(template: Template) -> Iterator[dict[str, Any]]:
    for policy in template.find_resources("AWS::IAM::Policy").values():
        yield from policy["Properties"]["PolicyDocument"]["Statement"]


def test_containers_are_isolated_and_in_the_agencys_vpc(health_template: Template) -> None:
    model = only(health_template, "AWS::SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == {
        "Subnets": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
        "SecurityGroupIds": ["sg-0a1b2c3d4e5f60718"],
    }


def test_without_a_network_containers_are_isolated_all_the_same(default_template: Template) -> None:
    model = only(default_template, "AWS::SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in model


def test_network_interfaces_are_granted_with_a_vpc_only(
    default_template: Template, health_template: Template
) -> None:
    assert "ec2:CreateNetworkInterface" in json.dumps(list(statements(health_template)))
    assert "ec2:" not in json.dumps(list(statements(default_template)))


def test_disks_of_the_instances_own_take_no_key(default_template: Template) -> None:
    assert "KmsKeyId" not in only(default_template, "AWS::SageMaker::EndpointConfig")
    assert "kms:CreateGrant" not in json.dumps(list(statements(default_template)))


def test_a_volume_is_under_the_agencys_key(changed_template: Callable[..., Template]) -> None:
    template = changed_template(*CPU)
    (key,) = template.find_resources("AWS::KMS::Key")
    arn = {"Fn::GetAtt": [key, "Arn"]}
    assert only(template, "AWS::SageMaker::EndpointConfig")["KmsKeyId"] == arn
    (grant,) = (s for s in statements(template) if s["Action"] == "kms:CreateGrant")
    assert grant["Resource"] == arn
    assert grant["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_every_role_has_the_boundary(default_template: Template, health_template: Template) -> None:
    roles = health_template.find_resources("AWS::IAM::Role")
    # The endpoint's, the functions', the state machine's and CodeBuild's.
    assert len(roles) == len(default_template.find_resources("AWS::IAM::Role")) >= 5
    for name, role in roles.items():
        assert role["Properties"].get("PermissionsBoundary") == BOUNDARY, name
    for name, role in default_template.find_resources("AWS::IAM::Role").items():
        assert "PermissionsBoundary" not in role["Properties"], name


def test_everything_that_takes_tags_has_the_agencys(health_template: Template) -> None:
    without = []
    for name, resource in health_template.to_json()["Resources"].items():
        properties = resource.get("Properties", {})
        tags = properties.get("Tags", properties.get("ResourceTags"))
        if resource["Type"] == "AWS::Budgets::Budget" or tags_form(resource["Type"]) is not None:
            found = {tag["Key"]: tag["Value"] for tag in tags or []} if isinstance(tags, list) else tags
            if not found or found.get("agency") != "health" or found.get("cost-centre") != "H-0042":
                without.append((name, resource["Type"]))
    assert without == []


def test_no_role_can_pass_a_role(default_template: Template, health_template: Template) -> None:
    """CloudFormation hands the roles over when it makes the resources; nothing here does later."""
    for template in (default_template, health_template):
        assert "iam:PassRole" not in json.dumps(template.to_json())


@pytest.fixture
def endpoint() -> LlmEndpoint:
    found = make_stack(DEFAULT).node.find_child("smollm2-135m").node.find_child("Endpoint")
    assert isinstance(found, LlmEndpoint)
    return found


def test_invoke_is_granted_on_this_endpoint_alone(endpoint: LlmEndpoint) -> None:
    stack = cdk.Stack.of(endpoint)
    caller = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    endpoint.grant_invoke(caller)
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy",
        {
            "Roles": [stack.resolve(caller.role_name)],
            "PolicyDocument": Match.object_like(
                {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": [
                                "sagemaker:InvokeEndpoint",
                                "sagemaker:InvokeEndpointWithResponseStream",
                            ],
                            "Resource": {
                                "Fn::Join": [
                                    "",
                                    [
                                        "arn:",
                                        {"Ref": "AWS::Partition"},
                                        ":sagemaker:us-east-1:123456789012:endpoint/default-smollm2-135m",
                                    ],
                                ]
                            },
                        }
                    ]
                }
            ),
        },
    )


def test_nobody_may_invoke_unless_granted(default_template: Template) -> None:
    assert "sagemaker:Invoke" not in json.dumps(default_template.to_json())
