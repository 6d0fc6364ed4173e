"""Requests that wait in S3, and requests that are kept there, with a real container behind the endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sns.models import sns_backends

from tests.integration.hosting.embedded import BUCKET, REGION, EmbeddedAws, running

ACCOUNT = "123456789012"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with running(tmp_path_factory.mktemp("hosting")) as embedded:
        yield embedded


def topics(aws: EmbeddedAws) -> dict[str, str]:
    sns = aws.client("sns")
    return {name: sns.create_topic(Name=name)["TopicArn"] for name in ("SuccessTopic", "ErrorTopic")}


def async_configuration(aws: EmbeddedAws) -> dict[str, Any]:
    return {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
        "OutputConfig": {
            "S3OutputPath": f"s3://{BUCKET}/output/",
            "S3FailurePath": f"s3://{BUCKET}/failure/",
            "KmsKeyId": KEY,
            "NotificationConfig": topics(aws),
        },
    }


@pytest.fixture(scope="module")
def queue(aws: EmbeddedAws) -> str:
    description = aws.deploy("queue", configuration={"AsyncInferenceConfig": async_configuration(aws)})
    assert description["EndpointStatus"] == "InService"
    assert description["AsyncInferenceConfig"] == async_configuration(aws)
    return "queue"


def ask(aws: EmbeddedAws, endpoint: str, request: object, **more: Any) -> dict[str, Any]:
    key = f"input/{time.monotonic_ns()}.json"
    location = aws.put_object(json.dumps(request).encode(), key)
    return dict(
        aws.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=endpoint, InputLocation=location, ContentType="application/json", **more
        )
    )


def appeared(aws: EmbeddedAws, location: str) -> dict[str, Any]:
    """The object there, as soon as it is."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    deadline = time.monotonic() + 20
    while True:
        try:
            return dict(aws.client("s3").get_object(Bucket=bucket, Key=key))
        except ClientError:
            assert time.monotonic() < deadline, f"no {location}"
            time.sleep(0.05)


def told(topic: str, inference_id: str) -> dict[str, Any]:
    """The message about a request on a topic, as soon as it is there."""
    backend = sns_backends[ACCOUNT][REGION]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for arn, known in backend.topics.items():
            if arn.endswith(topic):
                for _, message, *_ in known.sent_notifications:
                    content: dict[str, Any] = json.loads(message)
                    if content["inferenceId"] == inference_id:
                        return content
        time.sleep(0.05)
    raise AssertionError(f"nothing about {inference_id} on {topic}")


def test_a_request_in_s3_is_answered_there_and_told(aws: EmbeddedAws, queue: str) -> None:
    answer = ask(aws, queue, {"x": 1}, InferenceId="mine", CustomAttributes="a=b")
    assert answer["InferenceId"] == "mine"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["OutputLocation"].startswith(f"s3://{BUCKET}/output/")
    stored = appeared(aws, answer["OutputLocation"])
    assert (stored["ContentType"], stored["SSEKMSKeyId"]) == ("application/json", KEY)
    seen = json.load(stored["Body"])
    assert seen["request"] == {"x": 1}
    assert seen["headers"]["Content-Type"] == "application/json"
    assert seen["headers"]["X-Amzn-SageMaker-Custom-Attributes"] == "a=b"
    message = told("SuccessTopic", "mine")
    assert message["invocationStatus"] == "Completed"
    assert message["responseParameters"]["outputLocation"] == answer["OutputLocation"]


def test_what_the_container_refuses_is_a_failure_in_s3_and_told(aws: EmbeddedAws, queue: str) -> None:
    answer = ask(aws, queue, {"do": "fail", "status": 422}, InferenceId="refused")
    stored = appeared(aws, answer["FailureLocation"])
    assert json.load(stored["Body"]) == {"error": "as asked"}
    message = told("ErrorTopic", "refused")
    assert message["invocationStatus"] == "Failed"
    assert "Received error (422)" in message["failureReason"]


@pytest.mark.parametrize(
    ("request_", "limits", "said"),
    [
        ({"do": "sleep", "seconds": 5}, {"InvocationTimeoutSeconds": 1}, "timed out"),
        ({}, {"RequestTTLSeconds": 60, "InputLocation": f"s3://{BUCKET}/not/there"}, "NoSuchKey"),
    ],
    ids=["slow", "no-input"],
)
def test_what_can_not_be_answered_is_a_failure(
    aws: EmbeddedAws, queue: str, request_: dict[str, Any], limits: dict[str, Any], said: str
) -> None:
    location = limits.get("InputLocation") or aws.put_object(json.dumps(request_).encode(), "input/slow.json")
    answer = aws.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=queue, **{**limits, "InputLocation": location}
    )
    assert said in appeared(aws, answer["FailureLocation"])["Body"].read().decode()


def test_no_more_requests_are_answered_at_a_time_than_configured(aws: EmbeddedAws, queue: str) -> None:
    started = time.monotonic()
    answers = [ask(aws, queue, {"do": "sleep", "seconds": 0.5}) for _ in range(3)]
    for answer in answers:
        appeared(aws, answer["OutputLocation"])
    assert time.monotonic() - started >= 1


def test_an_asynchronous_endpoint_answers_nobody_at_once(aws: EmbeddedAws, queue: str) -> None:
    runtime = aws.client("sagemaker-runtime")
    with pytest.raises(ClientError, match="configured for asynchronous inference"):
        runtime.invoke_endpoint(EndpointName=queue, Body=b"{}")


def test_what_is_not_applied_is_refused(aws: EmbeddedAws, queue: str) -> None:
    with pytest.raises(ClientError, match="does not apply Filename"):
        ask(aws, queue, {}, Filename="mine.json")


def test_an_endpoint_that_is_not_asynchronous_has_no_queue(aws: EmbeddedAws) -> None:
    aws.deploy("plain")
    with pytest.raises(ClientError, match="not configured for asynchronous inference"):
        ask(aws, "plain", {})


def capture_configuration(percent: int, *modes: str) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": f"s3://{BUCKET}/capture",
        "KmsKeyId": KEY,
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }


def captured(aws: EmbeddedAws, endpoint: str) -> list[dict[str, Any]]:
    s3 = aws.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"capture/{endpoint}/AllTraffic/").get("Contents", [])
    return [json.load(s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"]) for entry in found]


def test_requests_and_answers_are_kept(aws: EmbeddedAws) -> None:
    configuration = {"DataCaptureConfig": capture_configuration(100, "Input", "Output")}
    description = aws.deploy("kept", configuration=configuration)
    assert description["DataCaptureConfig"]["CaptureStatus"] == "Started"
    runtime = aws.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName="kept", Body=b'{"x": 1}', ContentType="application/json")[
        "Body"
    ].read()
    with pytest.raises(ClientError):
        runtime.invoke_endpoint(EndpointName="kept", Body=b'{"do": "fail", "status": 400}')
    (line,) = captured(aws, "kept")  # of those that were answered
    assert line["captureData"] == {
        "endpointInput": {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": '{"x": 1}',
            "encoding": "JSON",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": answer.decode(),
            "encoding": "JSON",
        },
    }


def test_of_a_share_of_nothing_nothing_is_kept_and_other_content_is_in_base64(aws: EmbeddedAws) -> None:
    runtime = aws.client("sagemaker-runtime")
    for name, percent in (("none", 0), ("text", 100)):
        aws.deploy(name, configuration={"DataCaptureConfig": capture_configuration(percent, "Input")})
        runtime.invoke_endpoint(EndpointName=name, Body=b"{}", ContentType="text/plain")
    assert captured(aws, "none") == []
    (line,) = captured(aws, "text")
    assert line["captureData"] == {
        "endpointInput": {
            "observedContentType": "text/plain",
            "mode": "INPUT",
            "data": "e30=",
            "encoding": "BASE64",
        }
    }
