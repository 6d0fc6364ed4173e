"""What the embedded CloudWatch makes of a log line, and what it makes nothing of."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from quant_llm_serving.embedded_metrics import with_metrics
from quant_llm_tools.local_aws.embedded_metrics import embedded_metrics

# The example in "Specification: Embedded metric format" of the CloudWatch user guide.
EXAMPLE: dict[str, Any] = {
    "_aws": {
        "Timestamp": 1574109732004,
        "CloudWatchMetrics": [
            {
                "Namespace": "lambda-function-metrics",
                "Dimensions": [["functionVersion"]],
                "Metrics": [{"Name": "time", "Unit": "Milliseconds", "StorageResolution": 60}],
            }
        ],
    },
    "functionVersion": "$LATEST",
    "time": 100,
    "requestId": "989ffbf8-9ace-4817-a57c-e4dd734019ee",
}
DATUM = {
    "MetricName": "time",
    "Dimensions": [{"Name": "functionVersion", "Value": "$LATEST"}],
    "Timestamp": datetime(2019, 11, 18, 20, 42, 12, 4000),
    "Value": 100.0,
    "Unit": "Milliseconds",
}


def test_awss_own_example_is_one_metric() -> None:
    assert embedded_metrics(json.dumps(EXAMPLE)) == [("lambda-function-metrics", [DATUM])]


def test_each_value_of_a_list_counts() -> None:
    ((_, data),) = embedded_metrics(json.dumps({**EXAMPLE, "time": [1, 2.5]}))
    assert [datum["Value"] for datum in data] == [1.0, 2.5]


def test_the_line_of_the_container_is_understood() -> None:
    fields = {"request_id": "1", "first_token_milliseconds": 12.5, "prompt_tokens": None}
    ((namespace, (datum,)),) = embedded_metrics(json.dumps(with_metrics(fields, "moh-mistral-7b")))
    assert (namespace, datum["MetricName"], datum["Value"]) == ("QuantLlm", "first_token_milliseconds", 12.5)
    assert datum["Dimensions"] == [{"Name": "EndpointName", "Value": "moh-mistral-7b"}]


LINE = json.dumps(EXAMPLE)


@pytest.mark.parametrize(
    "message",
    [
        "llama_server: loading",
        '"_aws"',
        '["_aws"]',
        f"INFO {LINE}",
        f"{LINE} and more",
        LINE[:-1],
        LINE.replace('"time": 100', '"time": "100"'),
        LINE.replace('"time": 100', '"time": true'),
        LINE.replace('"time": 100', '"other": 100'),
        LINE.replace('"$LATEST"', "1"),
        LINE.replace('"functionVersion": "$LATEST", ', ""),
        LINE.replace("1574109732004", '"now"'),
        LINE.replace("1574109732004", "1e300"),
    ],
)
def test_a_line_that_is_not_in_the_format_makes_nothing(message: str) -> None:
    assert embedded_metrics(message) == []
