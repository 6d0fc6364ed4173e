"""The log: a line of JSON for each request."""

from __future__ import annotations

import json

import pytest

from tests.container.contract.conftest import Start
from tests.container.contract.endpoint import LONG


def test_a_request_is_logged_with_its_id_its_tokens_and_its_time_to_first_token(run: Start) -> None:
    container = run()
    secret = "the-prompt-is-nobody-elses-business"
    for streamed in (True, False):
        body = {**LONG, "max_tokens": 7, "prompt": secret, "stream": streamed}
        container.invoke(body, {"X-Amzn-SageMaker-Inference-Id": f"order-{streamed}"})
        container.until_logged(f"order-{streamed}")
        entry = next(entry for entry in container.entries if entry.get("request_id") == f"order-{streamed}")
        assert (entry["route"], entry["status"], entry["outcome"]) == ("/v1/completions", 200, "finished")
        assert entry["generated_tokens"] == 7
        assert entry["prompt_tokens"] >= 1
        assert 0 <= entry["waited_milliseconds"] <= entry["milliseconds"]
        if streamed:
            assert 0 < entry["first_token_milliseconds"] <= entry["milliseconds"]
    assert secret not in container.log


def test_a_refused_request_is_logged_with_the_field(run: Start) -> None:
    container = run()
    container.invoke({"prompt": 5}, {"X-Amzn-SageMaker-Inference-Id": "order-5"})
    container.until_logged("order-5")
    entry = next(entry for entry in container.entries if entry.get("request_id") == "order-5")
    assert (entry["status"], entry["outcome"], entry["field"]) == (400, "refused", "prompt")


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_the_configuration_is_logged_without_secrets(run: Start, name: str) -> None:
    container = run(SERVING_QUEUE_LENGTH="7", **{name: "a-secret"})
    entry = container.entries[0]
    assert (entry["message"], entry["environment"]["queue_length"]) == ("configuration", 7)
    assert "a-secret" not in container.log


def test_with_an_endpoints_name_the_line_of_a_stream_makes_metrics(run: Start) -> None:
    container = run(ENDPOINT_NAME="moh-mistral-7b")
    body = {**LONG, "max_tokens": 7, "stream": True}
    container.invoke(body, {"X-Amzn-SageMaker-Inference-Id": "order-1"})
    container.until_logged("order-1")
    (line,) = (line for line in container.log.splitlines() if "order-1" in line)
    entry = json.loads(line)  # the whole line, or CloudWatch makes nothing of it
    (directive,) = entry["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("QuantLlm", [["EndpointName"]])
    assert entry["EndpointName"] == "moh-mistral-7b"
    metrics = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert metrics["first_token_milliseconds"] == "Milliseconds"
    assert all(entry[name] > 0 for name in metrics)
