"""The answer to CloudFormation: its form, its limit, and what happens when it can't be delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import urllib3

from quant_llm_lambda.cloudformation import MAX_ANSWER_BYTES, AnswerError, send_failure, send_success

EVENT = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/QuantLlmStack/1",
    "RequestId": "request-1",
    "LogicalResourceId": "Artifact",
    "ResponseURL": "https://answer.example/once?signature=secret",
}


class AnswerAddress(urllib3.PoolManager):
    """Answers each PUT with the next of `outcomes`: a status, or an exception to raise."""

    def __init__(self, *outcomes: int | Exception) -> None:
        super().__init__()
        self.outcomes = list(outcomes)
        self.puts: list[tuple[str, bytes, dict[str, str]]] = []

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        assert method == "PUT"
        self.puts.append((url, body, dict(headers or {})))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return urllib3.HTTPResponse(b"", status=outcome)


def test_success_names_the_request_and_carries_the_data() -> None:
    address = AnswerAddress(200)
    send_success(EVENT, physical_id="s3://b/k", data={"Bytes": "5"}, http=address)
    url, body, headers = address.puts[0]
    assert url == EVENT["ResponseURL"]
    assert headers == {"Content-Type": ""}  # the signature is over an empty content type
    assert json.loads(body) == {
        "Status": "SUCCESS",
        "PhysicalResourceId": "s3://b/k",
        "StackId": EVENT["StackId"],
        "RequestId": "request-1",
        "LogicalResourceId": "Artifact",
        "Data": {"Bytes": "5"},
    }


def test_failure_carries_the_reason() -> None:
    address = AnswerAddress(200)
    send_failure(EVENT, physical_id="x", reason="no such file", http=address)
    answer = json.loads(address.puts[0][1])
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "no such file")


@pytest.mark.parametrize("letter", ["x", "é", "模", "\ud800"])  # the last is half a surrogate pair
def test_a_long_reason_is_cut_to_the_limit(letter: str) -> None:
    address = AnswerAddress(200)
    send_failure(EVENT, physical_id="x", reason="begin " + letter * 9000, http=address)
    body = address.puts[0][1]
    assert MAX_ANSWER_BYTES * 0.8 < len(body) <= MAX_ANSWER_BYTES
    reason = json.loads(body)["Reason"]
    assert reason.startswith("begin ")
    assert reason.endswith(letter + "…")


def test_data_over_the_limit_is_an_error_and_not_cut() -> None:
    with pytest.raises(AnswerError, match="may have 4096 bytes"):
        send_success(EVENT, physical_id="x", data={"Bytes": "5" * 5000}, http=AnswerAddress())


def test_transient_failures_are_tried_again_with_waits() -> None:
    waits: list[float] = []
    address = AnswerAddress(503, 429, urllib3.exceptions.ProtocolError("reset"), 200)
    send_success(EVENT, physical_id="x", data={}, http=address, sleep=waits.append)
    assert len(address.puts) == 4
    assert len(waits) == 3
    assert all(0 <= wait <= 2 for wait in waits)


def test_a_refused_answer_is_not_tried_again() -> None:
    address = AnswerAddress(403)
    with pytest.raises(AnswerError, match="refused: HTTP status 403"):
        send_success(EVENT, physical_id="x", data={}, http=address)
    assert len(address.puts) == 1


def test_five_failures_are_the_end_and_the_signed_url_stays_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = AnswerAddress(*[500] * 5)
    with pytest.raises(AnswerError, match="failed 5 times: HTTP status 500") as caught:
        send_failure(EVENT, physical_id="x", reason="r", http=address, sleep=lambda seconds: None)
    output = capsys.readouterr().out
    assert output.count("cloudformation.answer_failed") == 5
    assert "secret" not in output + str(caught.value)
