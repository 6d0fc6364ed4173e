"""Small templates for the tests of the classes, and what a comparison of two of them says."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from quant_llm_tools.review.compare import compare
from quant_llm_tools.review.model import Change
from quant_llm_tools.review.sides import Environment, Side

STACK = "QuantLlmStack-moh"
REFERENCE = {"Fn::GetAtt": ["Role", "Arn"]}


def resource(kind: str, path: str, properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A resource as the app's templates have them, with its construct path."""
    return {
        "Type": kind,
        "Properties": dict(properties),
        "Metadata": {"aws:cdk:path": f"{STACK}/{path}"},
        **more,
    }


def endpoint_template() -> dict[str, Any]:
    """One model behind an endpoint, with all that stands behind it."""
    return {
        "Resources": {
            "Key": resource(
                "AWS::KMS::Key", "Models/Key/Resource", {"EnableKeyRotation": True}, DeletionPolicy="Retain"
            ),
            "Bucket": resource(
                "AWS::S3::Bucket",
                "Models/Resource/Resource",
                {"VersioningConfiguration": {"Status": "Enabled"}},
                DeletionPolicy="Retain",
                UpdateReplacePolicy="Retain",
            ),
            "Role": resource(
                "AWS::IAM::Role",
                "chat/Endpoint/Role/Resource",
                {
                    "AssumeRolePolicyDocument": policy(
                        action="sts:AssumeRole", principal={"Service": "sagemaker.amazonaws.com"}
                    )
                },
            ),
            "Policy": resource(
                "AWS::IAM::Policy",
                "chat/Endpoint/Role/DefaultPolicy/Resource",
                {
                    "Roles": [{"Ref": "Role"}],
                    "PolicyDocument": policy(action="s3:GetObject", resource="arn:aws:s3:::weights/chat/*"),
                },
            ),
            "Model": resource(
                "AWS::SageMaker::Model",
                "chat/Endpoint/Model",
                {
                    "ExecutionRoleArn": REFERENCE,
                    "PrimaryContainer": {"Image": "1.dkr.ecr.x.amazonaws.com/a:1", "Environment": {"A": "1"}},
                    "Tags": [{"Key": "agency", "Value": "moh"}],
                },
            ),
            "Configuration": resource(
                "AWS::SageMaker::EndpointConfig",
                "chat/Endpoint/Configuration",
                {
                    "ProductionVariants": [
                        {
                            "InstanceType": "ml.g5.xlarge",
                            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                            "VariantName": "AllTraffic",
                            "ContainerStartupHealthCheckTimeoutInSeconds": 300,
                            "ModelDataDownloadTimeoutInSeconds": 300,
                        }
                    ]
                },
            ),
            "Endpoint": resource(
                "AWS::SageMaker::Endpoint",
                "chat/Endpoint/Resource",
                {
                    "EndpointName": "moh-chat",
                    "EndpointConfigName": {"Fn::GetAtt": ["Configuration", "EndpointConfigName"]},
                },
            ),
        }
    }


def policy(**statement: Any) -> dict[str, Any]:
    """A policy document of one statement; keys in lower case."""
    found = {key[:1].upper() + key[1:]: value for key, value in statement.items()}
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **found}]}


def edited(template: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """The template with other values: `{"Bucket.Properties.A": 1}`; None takes away."""
    result = copy.deepcopy(dict(template))
    for path, value in edits.items():
        *way, last = path.split(".")
        at = result["Resources"]
        for name in way:
            at = at.setdefault(name, {})
        if value is None:
            at.pop(last, None)
        else:
            at[last] = value
    return result


def side(template: Mapping[str, Any], stack: str = STACK, region: str = "us-east-1") -> Side:
    """A side of one stack."""
    return Side(name="side", templates={stack: template}, environments={stack: Environment("1", region)})


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """What a review says of two templates of one stack."""
    return compare(side(before), side(after))


def classes(found: tuple[Change, ...]) -> set[str]:
    """The classes of the changes."""
    return {one.change_class.value for one in found}
