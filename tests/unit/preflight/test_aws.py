"""What becomes of AWS's answers, with clients that are made up."""

from __future__ import annotations

from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from quant_llm_tools.preflight.aws import AwsAccount
from quant_llm_tools.preflight.row import CheckError

Json = Any


class Client:
    """Answers every call with `answer`, or raises it."""

    def __init__(self, answer: Json) -> None:
        self._answer = answer

    def __getattr__(self, operation: str) -> Any:
        def call(**given: Json) -> Json:
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

        return call

    def get_paginator(self, operation: str) -> Any:
        answer = self._answer[operation]

        class Paginator:
            def paginate(self, **given: Json) -> Json:
                assert given == {"ServiceCode": "sagemaker"}
                return [{"Quotas": [quota]} for quota in answer]

        return Paginator()


def account(answer: Json) -> AwsAccount:
    class Session:
        def client(self, service: str, **options: Json) -> Client:
            return Client(answer)

    return AwsAccount("us-east-1", cast("boto3.Session", Session()))


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refusal("AccessDeniedException"), "ssm:GetParameter is denied"),
        (refusal("ThrottlingException"), "ssm:GetParameter: ThrottlingException: no"),
        (
            EndpointConnectionError(endpoint_url="https://ssm.example"),
            'ssm:GetParameter: Could not connect to the endpoint URL: "https://ssm.example"',
        ),
    ],
)
def test_no_answer_names_the_action(error: Exception, message: str) -> None:
    with pytest.raises(CheckError) as caught:
        account(error).bootstrap_version()
    assert str(caught.value) == message


def test_what_is_not_there_is_no_error() -> None:
    assert account(refusal("ParameterNotFound")).bootstrap_version() is None
    assert not account(refusal("RepositoryNotFoundException")).has_image("1", "a", {"imageTag": "b"})
    assert not account(refusal("ResourceNotFoundException")).has_secret("a")
    assert not account(refusal("NoSuchEntity")).has_policy("a")


def test_a_secret_that_is_about_to_be_deleted_is_not_there() -> None:
    assert account({"Name": "a"}).has_secret("a")
    assert not account({"Name": "a", "DeletedDate": "2026-01-01"}).has_secret("a")


def test_applied_quotas_come_before_the_defaults_and_those_of_endpoints_count_alone() -> None:
    def quota(name: str, value: float) -> Json:
        return {"QuotaName": name, "Value": value}

    defaults = [
        quota("ml.g5.xlarge for endpoint usage", 0.0),
        quota("ml.g6.xlarge for endpoint usage", 1.0),
        quota("ml.g6.xlarge for training job usage", 9.0),
    ]
    applied = [quota("ml.g5.xlarge for endpoint usage", 4.0)]
    found = account(
        {"list_aws_default_service_quotas": defaults, "list_service_quotas": applied}
    ).endpoint_quotas
    assert found == {"ml.g5.xlarge": 4, "ml.g6.xlarge": 1}
