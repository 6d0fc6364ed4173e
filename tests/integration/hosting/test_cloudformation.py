"""A stack's endpoint: CloudFormation waits for it, and the stack says why it failed."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from quant_llm_tools.local_aws import hosting, images
from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.hosting.embedded import CONTEXT, FAKE_IMAGE, FAKE_REPOSITORY, ROLE, create_role


class Stack:
    """A stack of one endpoint on the whole embedded AWS."""

    def __init__(self, embedded: LocalAws) -> None:
        self._session = boto3.Session("embedded", "embedded", region_name="us-east-1")
        self._url = embedded.endpoint_url
        self.cloudformation = self.client("cloudformation")
        self.runtime = self.client("sagemaker-runtime")

    def client(self, service: str) -> Any:
        make: Any = self._session.client  # the stubs know each service's own client, not one for any
        return make(service, endpoint_url=self._url)

    def template(self, **environment: str) -> str:
        container = {"Image": FAKE_IMAGE, "Environment": environment}
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
            "InstanceType": "ml.g5.xlarge",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1,
        }
        resources = {
            "Model": ("Model", {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}),
            "Configuration": ("EndpointConfig", {"ProductionVariants": [variant]}),
            "Endpoint": (
                "Endpoint",
                {
                    "EndpointName": "agency-model",
                    "EndpointConfigName": {"Fn::GetAtt": ["Configuration", "EndpointConfigName"]},
                    "RetainAllVariantProperties": True,
                },
            ),
        }
        return json.dumps(
            {
                "Resources": {
                    name: {"Type": f"AWS::SageMaker::{kind}", "Properties": properties}
                    for name, (kind, properties) in resources.items()
                }
            }
        )

    def change(self, how: str, **environment: str) -> str:
        """Create or update the stack; returns the status that it ends in."""
        getattr(self.cloudformation, how)(StackName="stack", TemplateBody=self.template(**environment))
        return self.wait()

    def wait(self) -> str:
        for _ in range(400):
            (stack,) = self.cloudformation.describe_stacks(StackName="stack")["Stacks"]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                return str(stack["StackStatus"])
            time.sleep(0.05)
        raise AssertionError(stack["StackStatus"])

    def reasons(self) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName="stack")["StackEvents"]
        return [event.get("ResourceStatusReason", "") for event in events]

    def environment(self) -> dict[str, str]:
        answer = self.runtime.invoke_endpoint(EndpointName="agency-model", Body=b"{}")
        environment: dict[str, str] = json.load(answer["Body"])["environment"]
        return environment


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with LocalAws(directory=tmp_path) as embedded:
        images.register(FAKE_REPOSITORY, "1", CONTEXT)
        stack = Stack(embedded)
        create_role(stack.client("iam"))
        yield stack


def test_failed_endpoint_fails_the_stack_with_its_reason(stack: Stack) -> None:
    assert stack.change("create_stack", FAKE_MODE="exit") == "ROLLBACK_COMPLETE"
    assert any("Container exited with code 3: no model here: found nothing" in r for r in stack.reasons())


def test_update_reaches_the_container_and_a_failed_one_is_rolled_back(stack: Stack) -> None:
    assert stack.change("create_stack", LLAMA_ARG_CTX_SIZE="1024") == "CREATE_COMPLETE"
    assert stack.environment()["LLAMA_ARG_CTX_SIZE"] == "1024"
    assert stack.change("update_stack", LLAMA_ARG_CTX_SIZE="2048") == "UPDATE_COMPLETE"
    assert stack.environment()["LLAMA_ARG_CTX_SIZE"] == "2048"
    assert stack.change("update_stack", FAKE_MODE="exit") == "UPDATE_ROLLBACK_COMPLETE"
    assert any("Container exited with code 3" in reason for reason in stack.reasons())
    assert stack.environment()["LLAMA_ARG_CTX_SIZE"] == "2048"


def test_deleted_stack_can_be_made_again_at_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.change("create_stack", FAKE_MODE="deaf") == "CREATE_COMPLETE"
    endpoint = hosting.find_endpoint("agency-model", "us-east-1")
    assert endpoint is not None
    slow_to_end = dataclasses.replace(endpoint.settings, stop_seconds=2)
    monkeypatch.setattr(endpoint._serving[0], "_settings", slow_to_end)
    stack.cloudformation.delete_stack(StackName="stack")
    deleted = stack.cloudformation.get_waiter("stack_delete_complete")
    deleted.wait(StackName="stack", WaiterConfig={"Delay": 1})
    assert stack.change("create_stack") == "CREATE_COMPLETE"
