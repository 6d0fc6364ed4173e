"""A log line that CloudWatch makes metrics of, and the rate that one of them is."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_serving.embedded_metrics import UNITS, with_metrics
from quant_llm_serving.forwarding import Outcome
from quant_llm_serving.log import Log

# The JSON schema in "Specification: Embedded metric format" of the CloudWatch user guide, without its titles
# and examples, and with what its text says: no more members, no more than 100 metrics. Read in November 2026.
UNITS_OF_CLOUDWATCH = (
    "Seconds|Microseconds|Milliseconds|Percent|Count|Count/Second|None"  # of those for no bytes
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"type": "string", "pattern": f"^({UNITS_OF_CLOUDWATCH})$"},
                                        "StorageResolution": {"type": "integer"},
                                    },
                                    "additionalProperties": False,
                                },
                            },
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        }
    },
}
COUNTS = st.none() | st.integers(0, 10**7)
SECONDS = st.none() | st.floats(0, 3600)


def outcome(**known: Any) -> Outcome:
    unknown: dict[str, Any] = dict.fromkeys(
        ("waited_seconds", "first_token_seconds", "prompt_tokens", "generated_tokens")
    )
    return Outcome(**{"status": 200, "words": "finished", "seconds": 1.0, **unknown, **known})


def logged(fields: dict[str, Any], capfdbinary: pytest.CaptureFixture[bytes]) -> dict[str, Any]:
    log = Log()
    log.event("request", **with_metrics(fields, "moh-mistral-7b"))
    log.close()
    (line,) = capfdbinary.readouterr().out.splitlines()
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_the_line_of_a_request_is_in_cloudwatchs_format(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    served = outcome(seconds=2.0, first_token_seconds=0.5, prompt_tokens=9, generated_tokens=31)
    entry = logged(served.fields(), capfdbinary)
    jsonschema.validate(entry, SCHEMA)
    (directive,) = entry["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["EndpointName"]]
    assert entry["EndpointName"] == "moh-mistral-7b"
    assert {metric["Name"]: entry[metric["Name"]] for metric in directive["Metrics"]} == {
        "first_token_milliseconds": 500.0,
        "tokens_per_second": 20.0,
        "prompt_tokens": 9,
        "generated_tokens": 31,
    }
    assert abs(entry["_aws"]["Timestamp"] / 1000 - time.time()) < 60


@given(prompt=COUNTS, generated=COUNTS, first=SECONDS)
def test_only_what_is_known_becomes_a_metric(
    prompt: int | None, generated: int | None, first: float | None
) -> None:
    served = outcome(
        seconds=3600.0, first_token_seconds=first, prompt_tokens=prompt, generated_tokens=generated
    )
    entry = json.loads(json.dumps(with_metrics(served.fields(), "e")))
    known = {name for name in UNITS if entry[name] is not None}
    if not known:
        assert "_aws" not in entry
        return
    jsonschema.validate(entry, SCHEMA)
    (directive,) = entry["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in directive["Metrics"]} == known
    assert all(type(entry[name]) in (int, float) for name in known)


def test_without_an_endpoint_the_line_makes_no_metrics() -> None:
    fields = outcome(first_token_seconds=0.5).fields()
    assert with_metrics(fields, None) == fields


@given(generated=st.integers(2, 10**6), first=st.floats(0, 480), rate=st.floats(0.1, 10_000))
def test_the_rate_is_that_of_the_tokens_after_the_first(generated: int, first: float, rate: float) -> None:
    seconds = first + (generated - 1) / rate
    served = outcome(seconds=seconds, first_token_seconds=first, generated_tokens=generated)
    if seconds > first:  # where the rest of the answer is not lost in the rounding
        assert served.tokens_per_second == pytest.approx((generated - 1) / (seconds - first))
    if (generated - 1) / rate > 0.1:
        assert served.tokens_per_second == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    "known",
    [
        {"generated_tokens": 7},
        {"first_token_seconds": 0.5},
        {"first_token_seconds": 0.5, "generated_tokens": 1},
        {"first_token_seconds": 1.0, "generated_tokens": 7},
    ],
    ids=["not streamed", "the caller left", "one token", "all tokens at once"],
)
def test_an_answer_without_a_second_token_has_no_rate(known: dict[str, Any]) -> None:
    assert outcome(**known).tokens_per_second is None
