"""Drift as CloudFormation tells it, over its pages."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from quant_llm_tools.review.deployed import Deployed, read_deployed
from quant_llm_tools.review.model import Drift
from quant_llm_tools.review.sides import Environment


class Client:
    """CloudFormation and STS of one account with one stack that has drifted."""

    def __init__(self, status: str) -> None:
        self.status = status

    def get_caller_identity(self) -> Any:
        return {"Account": "123456789012"}

    def get_template(self, **_arguments: str) -> Any:
        return {"TemplateBody": '{"Resources": {}}'}

    def describe_stacks(self, **_arguments: str) -> Any:
        return {"Stacks": [{"DriftInformation": {"StackDriftStatus": self.status}}]}

    def describe_stack_resource_drifts(self, **arguments: Any) -> Any:
        assert arguments["StackResourceDriftStatusFilters"] == ["MODIFIED", "DELETED"]
        gone = {
            "LogicalResourceId": "Gone",
            "ResourceType": "AWS::SNS::Topic",
            "StackResourceDriftStatus": "DELETED",
        }
        if "NextToken" in arguments:
            return {"StackResourceDrifts": [gone]}
        difference = {
            "PropertyPath": "/VersioningConfiguration/Status",
            "ExpectedValue": "Enabled",
            "ActualValue": "Suspended",
            "DifferenceType": "NOT_EQUAL",
        }
        changed = {
            "LogicalResourceId": "Bucket",
            "ResourceType": "AWS::S3::Bucket",
            "StackResourceDriftStatus": "MODIFIED",
            "PropertyDifferences": [difference],
        }
        return {"StackResourceDrifts": [changed], "NextToken": "more"}


class Session:
    status = "DRIFTED"

    def client(self, _service: str, **_arguments: str) -> Client:
        return Client(self.status)


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Environment]:
    monkeypatch.setattr(boto3, "Session", Session)
    return {"QuantLlmStack": Environment("123456789012", "us-east-1")}


def test_drift_is_told_with_both_values(environments: dict[str, Environment]) -> None:
    live = read_deployed(environments)
    assert live.templates == {"QuantLlmStack": {"Resources": {}}}
    assert live.drift == (
        Drift(
            "QuantLlmStack",
            "Bucket (AWS::S3::Bucket)",
            "modified",
            (("/VersioningConfiguration/Status", "Enabled", "Suspended"),),
        ),
        Drift("QuantLlmStack", "Gone (AWS::SNS::Topic)", "deleted"),
    )


def test_where_no_detection_was_run_there_is_no_drift_to_tell(
    environments: dict[str, Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "status", "NOT_CHECKED")
    assert read_deployed(environments).drift == ()


def test_nothing_is_asked_where_there_is_no_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(boto3, "Session")
    assert read_deployed({}) == Deployed()
