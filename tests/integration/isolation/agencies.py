"""Agencies of one account: their stacks' roles, buckets, keys and what else their policies name, deployed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import boto3
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from botocore.config import Config
from constructs import IConstruct

from quant_llm.agency import load_agency, locked
from quant_llm.llm_endpoint import LlmEndpoint
from quant_llm.paths import ROOT
from stacks.quant_llm_stack import QuantLlmStack
from tests.integration.local_aws.account import REGION, Account

Json = Any

ACCOUNT = "123456789012"
# What the policies are about. The rest of a stack does work, serves or watches, and takes long.
DEPLOYED = {
    "AWS::CodeBuild::Project",
    "AWS::ECR::Repository",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
}


@dataclass(frozen=True)
class Agency:
    """One deployed agency: physical names by the construct's path in the stack."""

    name: str
    stack: str
    bucket: str
    data_bucket: str
    key_arn: str
    ciphertext: bytes
    functions: Mapping[str, str]
    roles: Mapping[str, str]
    names: Mapping[str, str]

    def machine(self, name: str) -> str:
        return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{self.stack}-{name}"


def write_agency(directory: Path, name: str) -> Path:
    """An agency with two models: `chat` keeps requests; `draft` is files, and has a volume of its own."""
    text = (ROOT / "agencies" / "default.yaml").read_text()
    head, _, model = text.partition("  - name: smollm2-135m\n")
    draft = model.replace(
        "    instance_type: ml.g4dn.xlarge",
        f"    image: {ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cpu:1\n"
        "    instance_type: ml.c5.xlarge\n    artifact: s3-prefix",
    )
    path = directory / f"{name}.yaml"
    chat = model + "    capture: {percent: 10, keep_days: 7}\n"
    models = f"  - name: chat\n{chat}  - name: draft\n{draft}"
    path.write_text(head.replace("agency: default", f"agency: {name}") + models)
    lock = json.loads((ROOT / "agencies" / "default.lock.json").read_text())
    locks = dict.fromkeys(("chat", "draft"), lock["models"]["smollm2-135m"])
    path.with_suffix(".lock.json").write_text(json.dumps(lock | {"agency": name, "models": locks}))
    return path


def deploy(account: Account, directory: Path, names: Iterable[str]) -> list[Agency]:
    """Synthesise the agencies as `app.py` does, and deploy of each what its policies are about.

    Each stack has one role more: an application that may call the endpoint `chat`.
    """
    app = cdk.App(
        outdir=str(directory / "cdk.out"),
        context=json.loads((ROOT / "cdk.json").read_text())["context"],
        builtin_cloud_formation_validation=False,
    )
    stacks = []
    for name in names:
        path = write_agency(directory, name)
        agency = load_agency(path)
        stack = QuantLlmStack(app, agency.stack_name, agency=agency, locks=locked(agency, path))
        application = iam.Role(stack, "Application", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        cast("LlmEndpoint", stack.node.find_child("chat").node.find_child("Endpoint")).grant_invoke(
            application
        )
        stacks.append((name, stack))
    app.synth()
    return [_deployed(account, directory / "cdk.out", name, stack) for name, stack in stacks]


def _deployed(account: Account, assembly: Path, name: str, stack: QuantLlmStack) -> Agency:
    template = json.loads((assembly / f"{stack.stack_name}.template.json").read_text())
    account.deploy(stack.stack_name, _without_work(stack.stack_name, template["Resources"]))
    described = account.client("cloudformation").describe_stack_resources(StackName=stack.stack_name)
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in described["StackResources"]}
    by_path = {
        re.sub("(/Resource)+$", "", child.node.path.partition("/")[2]): names[stack.resolve(child.logical_id)]
        for child in stack.node.find_all()
        if isinstance(child, cdk.CfnResource) and stack.resolve(child.logical_id) in names
    }
    roles = {
        child.node.path.partition("/")[2]: names[stack.get_logical_id(_resource(child))]
        for child in stack.node.find_all()
        if isinstance(child, iam.Role)
    }
    kms = account.client("kms")
    key = kms.describe_key(KeyId=by_path["Models/Key"])["KeyMetadata"]["Arn"]
    functions = {
        child.node.path.partition("/")[2].removesuffix("/Resource"): _stand_in(
            "AWS::Lambda::Function", stack.stack_name, stack.get_logical_id(_resource(child))
        )
        for child in stack.node.find_all()
        if isinstance(child, lambda_.Function)
    }
    return Agency(
        name=name,
        stack=stack.stack_name,
        bucket=by_path["Models"],
        data_bucket=by_path["Data"],
        key_arn=key,
        ciphertext=kms.encrypt(KeyId=key, Plaintext=b"a data key")["CiphertextBlob"],
        functions=functions,
        roles=roles,
        names=by_path,
    )


def _resource(construct: IConstruct) -> cdk.CfnElement:
    return cast("cdk.CfnElement", construct.node.default_child)


def _stand_in(kind: str, stack: str, name: str) -> str:
    service = "lambda" if kind == "AWS::Lambda::Function" else "none"
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:function:{stack}-{name}"


def _without_work(stack: str, resources: Mapping[str, Json]) -> dict[str, Json]:
    """The deployed types alone; where they name another resource, an ARN stands in for it."""
    kept = {name: dict(each) for name, each in resources.items() if each["Type"] in DEPLOYED}

    def settled(value: Json) -> Json:
        if isinstance(value, list):
            return [settled(each) for each in value]
        if not isinstance(value, dict):
            return value
        name = value.get("Ref") or (value.get("Fn::GetAtt") or [None])[0]
        if name in resources and name not in kept:
            return _stand_in(resources[name]["Type"], stack, name)
        return {key: settled(each) for key, each in value.items()}

    for each in kept.values():
        each.pop("DependsOn", None)
        each["Properties"] = settled(each.get("Properties", {}))
    return kept


class Clients:
    """Clients of any service, with the credentials of a session of a role."""

    def __init__(self, account: Account, role: str) -> None:
        session = account.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="isolation"
        )["Credentials"]
        self._session = boto3.Session(
            session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], REGION
        )
        self._url = account.aws.endpoint_url
        self._made: dict[str, Any] = {}

    def __call__(self, service: Any) -> Any:
        if service not in self._made:
            config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
            self._made[service] = self._session.client(service, endpoint_url=self._url, config=config)
        return self._made[service]

    def close(self) -> None:
        for client in self._made.values():
            client.close()
