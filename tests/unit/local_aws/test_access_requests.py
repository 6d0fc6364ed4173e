"""What a request asks IAM for: the actions, and the resources that policies name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from quant_llm_tools.local_aws.access.policy import Role
from quant_llm_tools.local_aws.access.requests import ApiRequest, asked

ROLE_ARN = "arn:aws:iam::123456789012:role/r"
OBJECT = "arn:aws:s3:::weights/models/a"


def request(service: str, action: str, body: object = None, **more: Any) -> ApiRequest:
    plain = ApiRequest(service, action, "us-east-1", "123456789012", "aws", ROLE_ARN)
    return replace(plain, body=b"" if body is None else json.dumps(body).encode(), **more)


def calls(asking: ApiRequest) -> list[tuple[str, str]]:
    return [(call.action, call.resource) for call, _ in asked(asking)]


@pytest.mark.parametrize(
    ("service", "action", "body", "expected"),
    [
        ("sagemaker", "InvokeEndpoint", {"EndpointName": "MOH-chat"}, "endpoint/moh-chat"),
        ("states", "StartExecution", {"stateMachineArn": "arn:aws:states:x"}, "arn:aws:states:x"),
        ("codebuild", "StartBuild", {"projectName": "p"}, "project/p"),
        ("codebuild", "BatchGetBuilds", {"ids": ["p:1"]}, "project/p"),
        ("codebuild", "BatchGetBuilds", {"ids": ["arn:aws:codebuild:r:1:build/p:1"]}, "project/p"),
        ("ecr", "PutImage", {"repositoryName": "a/b"}, "repository/a/b"),
        ("ssm", "GetParameter", {"Name": "/cdk/version"}, "parameter/cdk/version"),
        ("kms", "Decrypt", {"KeyId": "1-2"}, "key/1-2"),
        (
            "secretsmanager",
            "GetSecretValue",
            {"SecretId": "arn:aws:secretsmanager:x"},
            "arn:aws:secretsmanager:x",
        ),
    ],
)
def test_resource_of_an_action(service: str, action: str, body: object, expected: str) -> None:
    if not expected.startswith("arn:"):
        expected = f"arn:aws:{service}:us-east-1:123456789012:{expected}"
    assert calls(request(service, action, body)) == [(f"{service}:{action}", expected)]


def test_each_resource_of_a_list_is_asked_for() -> None:
    found = calls(request("codebuild", "BatchGetBuilds", {"ids": ["p:1", "q:2"]}))
    assert [resource.rpartition("/")[2] for _, resource in found] == ["p", "q"]


def test_a_function_is_named_by_its_name_or_its_arn() -> None:
    by_name = request("lambda", "Invoke", path="/2015-03-31/functions/f/invocations")
    arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
    by_arn = request("lambda", "Invoke", path=f"/2015-03-31/functions/{arn.replace(':', '%3A')}/invocations")
    assert calls(by_name) == calls(by_arn) == [("lambda:InvokeFunction", arn)]


def test_a_message_is_for_its_topic() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    form = f"Action=Publish&TopicArn={topic.replace(':', '%3A')}&Message=m".encode()
    asking = replace(request("sns", "Publish"), body=form)
    assert calls(asking) == [("sns:Publish", topic)]


def test_an_action_without_a_resource_asks_for_any() -> None:
    assert calls(request("ecr", "GetAuthorizationToken", {})) == [("ecr:GetAuthorizationToken", "*")]
    assert calls(request("monitoring", "PutMetricData")) == [("cloudwatch:PutMetricData", "*")]


def test_a_copy_reads_its_source() -> None:
    copy = request("s3", "PutObject", resource=OBJECT, headers={"x-amz-copy-source": "/others/models%2Fb"})
    assert calls(copy) == [("s3:PutObject", OBJECT), ("s3:GetObject", "arn:aws:s3:::others/models/b")]


def test_every_key_of_a_deletion_counts() -> None:
    body = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a</Key></Object>'
    body += b"<Object><Key>work/b</Key></Object></Delete>"
    deletion = replace(request("s3", "DeleteObject", resource="arn:aws:s3:::weights"), body=body)
    assert [resource for _, resource in calls(deletion)] == [
        "arn:aws:s3:::weights/a",
        "arn:aws:s3:::weights/work/b",
    ]


def test_the_prefix_of_a_listing_is_known_to_conditions() -> None:
    listing = request(
        "s3", "ListBucket", resource="arn:aws:s3:::weights", path="/weights?prefix=models%2Fa%2F"
    )
    ((call, _),) = asked(listing)
    assert call.context["s3:prefix"] == "models/a/"
    ((call, _),) = asked(request("s3", "ListBucket", resource="arn:aws:s3:::weights", path="/weights"))
    assert call.context["s3:prefix"] is None


def test_account_of_a_role() -> None:
    role = Role(ROLE_ARN, "", ())
    assert (role.account, role.account_arn) == ("123456789012", "arn:aws:iam::123456789012:root")
