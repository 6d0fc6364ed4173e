"""An account of the embedded AWS: clients, and stacks driven through change sets as the CDK does it."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from quant_llm_tools.local_aws.server import LocalAws

Json = Any
REGION = "us-east-1"
CODE_BUCKET = "code"


@dataclass
class Account:
    aws: LocalAws
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            make: Any = boto3.client  # the stubs know each service's own client, not one for any
            environment = self.aws.environment()
            self._clients[service] = make(
                service,
                region_name=REGION,
                endpoint_url=self.aws.endpoint_url,
                aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def deploy(self, name: str, resources: Mapping[str, Json], **sections: Json) -> dict[str, Json]:
        """Create or update a stack through a change set; returns what DescribeStacks says at the end."""
        change_set = self.propose(name, resources, **sections)
        assert change_set["Status"] == "CREATE_COMPLETE", change_set["StatusReason"]
        self.client("cloudformation").execute_change_set(
            ChangeSetName=change_set["ChangeSetId"], StackName=name
        )
        return self.settled(change_set["StackId"])

    def propose(self, name: str, resources: Mapping[str, Json], **sections: Json) -> dict[str, Json]:
        """A change set, described."""
        options = {"Parameters": sections.pop("given", []), "Tags": sections.pop("tags", [])}
        kind = "UPDATE" if self._exists(name) else "CREATE"
        cloudformation = self.client("cloudformation")
        cloudformation.create_change_set(
            StackName=name,
            ChangeSetName="change",
            ChangeSetType=kind,
            TemplateBody=json.dumps({"Resources": resources, **sections}),
            **options,
        )
        described: dict[str, Json] = cloudformation.describe_change_set(
            StackName=name, ChangeSetName="change"
        )
        return described

    def destroy(self, name: str) -> str:
        """Delete a stack; returns the status that it ends in."""
        stack_id = self.stack(name)["StackId"]
        self.client("cloudformation").delete_stack(StackName=name)
        status: str = self.settled(stack_id)["StackStatus"]
        return status

    def stack(self, name: str) -> dict[str, Json]:
        described: dict[str, Json] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][
            0
        ]
        return described

    def settled(self, name: str, *, within: float = 30) -> dict[str, Json]:
        deadline = time.monotonic() + within
        while (stack := self.stack(name))["StackStatus"].endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, stack
            time.sleep(0.02)
        return stack

    def outputs(self, name: str) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack(name)["Outputs"]}

    def events(self, name: str) -> list[dict[str, Json]]:
        """All events of a stack, the oldest first."""
        pages = self.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def reason(self, name: str, logical_id: str, status: str) -> str:
        """Why a resource came into a status, the last time."""
        reasons: list[str] = [
            event.get("ResourceStatusReason", "")
            for event in self.events(name)
            if (event["LogicalResourceId"], event["ResourceStatus"]) == (logical_id, status)
        ]
        return reasons[-1]

    def physical_id(self, name: str, logical_id: str) -> str:
        resources = self.client("cloudformation").describe_stack_resources(
            StackName=name, LogicalResourceId=logical_id
        )["StackResources"]
        physical_id: str = resources[0]["PhysicalResourceId"]
        return physical_id

    def upload(self, key: str, files: Mapping[str, str]) -> dict[str, str]:
        """A zip in S3, as a function's Code."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for name, text in files.items():
                file.writestr(name, text)
        self.client("s3").put_object(Bucket=CODE_BUCKET, Key=key, Body=archive.getvalue())
        return {"S3Bucket": CODE_BUCKET, "S3Key": key}

    def logs(self, group: str) -> list[str]:
        """The lines of a log group."""
        events = self.client("logs").filter_log_events(logGroupName=group)["events"]
        return [event["message"] for event in events]

    def _exists(self, name: str) -> bool:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return name in [stack["StackName"] for stack in stacks]


def role(service: str = "lambda.amazonaws.com", **properties: Json) -> dict[str, Json]:
    """A role's definition."""
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document, **properties}}


def function(code: Mapping[str, Json] | str, **properties: Json) -> dict[str, Json]:
    """A function's definition, with code in S3 or inline; its role is the resource `Role`."""
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": code} if isinstance(code, str) else code,
            "Handler": "index.handle",
            "Runtime": "python3.13",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            **properties,
        },
    }


def arn_of(logical_id: str) -> dict[str, Json]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}
