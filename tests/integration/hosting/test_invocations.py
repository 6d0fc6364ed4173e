"""SageMaker's runtime API as boto3 sees it: answers, streams and errors."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError, EventStreamError

from tests.integration.hosting.embedded import EmbeddedAws, running


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """One endpoint for all tests, called `one`; none of them harms it."""
    with running(tmp_path_factory.mktemp("aws"), response_seconds=1, stream_seconds=3) as embedded:
        assert embedded.deploy("one", url=None)["EndpointStatus"] == "InService"
        yield embedded


def invoke(aws: EmbeddedAws, request: dict[str, Any], **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = aws.client("sagemaker-runtime").invoke_endpoint(
        **{"EndpointName": "one", "Body": json.dumps(request), **options}
    )
    return answer


def stream(aws: EmbeddedAws, **request: Any) -> Iterator[bytes]:
    answer = aws.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName="one", Body=json.dumps({"do": "stream", **request}), Accept="text/event-stream"
    )
    assert answer["ContentType"] == "text/event-stream"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    with contextlib.closing(answer["Body"]) as events:
        for event in events:
            yield event["PayloadPart"]["Bytes"]


def get(url: str) -> tuple[int, Any]:
    with urllib3.PoolManager() as http:
        response = http.request("GET", url)
        return response.status, response.json()


def test_headers_of_the_api_reach_the_container_and_come_back(aws: EmbeddedAws) -> None:
    answer = invoke(
        aws,
        {"hello": "world"},
        ContentType="application/json",
        Accept="application/jsonlines",
        CustomAttributes="route=/v1/embeddings",
        InferenceId="abc",
        TargetVariant="AllTraffic",
    )
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "from=container"
    seen = json.loads(answer["Body"].read())
    assert seen["request"] == {"hello": "world"}
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["content-type"] == "application/json"
    assert headers["accept"] == "application/jsonlines"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "route=/v1/embeddings"
    assert headers["x-amzn-sagemaker-inference-id"] == "abc"
    assert not {"authorization", "user-agent", "x-amz-date"} & set(headers)


def test_unknown_endpoint_is_a_validation_error(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError) as error:
        invoke(aws, {}, EndpointName="nobody")
    assert error.value.response["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint nobody of account 123456789012 not found.",
    }


def test_failed_endpoint_says_its_state(aws: EmbeddedAws) -> None:
    aws.deploy("failed", url=None, environment={"FAKE_MODE": "exit"})
    with pytest.raises(ClientError, match=r"It is Failed: .*no model here"):
        invoke(aws, {}, EndpointName="failed")


def test_unknown_variant_is_a_validation_error(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError, match="Variant Other of endpoint one not found"):
        invoke(aws, {}, TargetVariant="Other")


def test_asynchronous_invocation_is_refused(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError, match="not configured for asynchronous inference"):
        aws.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName="one", InputLocation="s3://models/request.json"
        )


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (500, "server")])
@pytest.mark.parametrize("call", ["invoke_endpoint", "invoke_endpoint_with_response_stream"])
def test_error_of_the_container_is_a_model_error(aws: EmbeddedAws, status: int, side: str, call: str) -> None:
    runtime = aws.client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError) as error:
        getattr(runtime, call)(EndpointName="one", Body=json.dumps({"do": "fail", "status": status}))
    response = error.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"] == '{"error": "as asked"}'
    assert "log-group:/aws/sagemaker/Endpoints/one:log-stream:AllTraffic/i-" in response["LogStreamArn"]
    assert f"Received {side} error ({status}) from primary" in response["Error"]["Message"]


def test_answer_that_takes_too_long_is_a_model_error(aws: EmbeddedAws) -> None:
    started = time.monotonic()
    with pytest.raises(ClientError, match="timed out while waiting for a response") as error:
        invoke(aws, {"do": "sleep", "seconds": 20})
    assert error.value.response["Error"]["Code"] == "ModelError"
    assert time.monotonic() - started < 15


def test_answer_that_breaks_off_is_a_model_error(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError, match="broke: IncompleteRead") as error:
        invoke(aws, {"do": "short"})
    assert error.value.response["Error"]["Code"] == "ModelError"


def test_request_larger_than_sagemaker_takes_is_refused(aws: EmbeddedAws) -> None:
    too_large = b"x" * (25 * 1024 * 1024 + 1)
    with pytest.raises(ClientError) as error:
        aws.client("sagemaker-runtime").invoke_endpoint(EndpointName="one", Body=too_large)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_stream_passes_each_part_on_as_it_comes(aws: EmbeddedAws) -> None:
    arrivals = [(part, time.monotonic()) for part in stream(aws, parts=5, pause=0.3)]
    assert b"".join(part for part, _ in arrivals) == b"".join(b"data: %d\n\n" % number for number in range(5))
    # Made over 1.2 seconds; what waited for a buffer or for the end would arrive at once.
    assert len(arrivals) >= 3
    assert arrivals[-1][1] - arrivals[0][1] > 0.6


def test_stream_that_the_container_breaks_off_ends_in_an_error(aws: EmbeddedAws) -> None:
    parts: list[bytes] = []
    with pytest.raises(EventStreamError, match="broke off") as error:
        parts.extend(stream(aws, parts=5, pause=0, break_at=2))
    assert error.value.response["Error"]["Code"] == "ModelStreamError"
    assert b"".join(parts) == b"data: 0\n\ndata: 1\n\n"


def test_stream_that_takes_too_long_ends_in_an_error(aws: EmbeddedAws) -> None:
    with pytest.raises(EventStreamError, match="within 3 seconds"):
        list(stream(aws, parts=100, pause=0.1))


def test_container_is_hung_up_on_when_the_caller_leaves(aws: EmbeddedAws) -> None:
    answer = aws.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName="one", Body=json.dumps({"do": "stream", "parts": 30, "pause": 0.1})
    )
    next(iter(answer["Body"]))
    answer["Body"].close()
    deadline = time.monotonic() + 3
    while "the caller hung up" not in aws.log_lines("one"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_openai_route_reaches_the_container_as_it_is(aws: EmbeddedAws) -> None:
    status, answer = get(f"{aws.url}/endpoints/one/openai/v1/models")
    assert status == 200
    assert answer["path"] == "/openai/v1/models"


def test_openai_route_of_an_unknown_endpoint_is_an_error(aws: EmbeddedAws) -> None:
    status, answer = get(f"{aws.url}/endpoints/nobody/openai/v1/models")
    assert status == 400
    assert "nobody" in answer["message"]
