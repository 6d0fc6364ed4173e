"""Answers to CloudFormation's custom resource requests.

CloudFormation invokes the function asynchronously and waits for a PUT to the request's `ResponseURL`; a
function that dies without one leaves the stack waiting for an hour.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from quant_llm_lambda.log import log
from quant_llm_lambda.retry import full_jitter

MAX_ANSWER_BYTES = 4096  # CloudFormation refuses a longer answer

_TRIES = 5
_TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)


class AnswerError(Exception):
    """CloudFormation could not be told how the request ended."""


class AnswerRefusedError(AnswerError):
    """The URL takes no answer, which no further try mends: it has expired, or nobody waits any more."""


def send_success(
    event: Mapping[str, Any],
    *,
    physical_id: str,
    data: Mapping[str, str],
    http: urllib3.PoolManager | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Answer SUCCESS; `data` becomes the attributes of the resource (`Fn::GetAtt`).

    `event` needs StackId, RequestId, LogicalResourceId and ResponseURL. AnswerError when it can't be
    delivered.
    """
    body = _encode({**_answer(event, "SUCCESS", physical_id), "Data": dict(data)})
    if len(body) > MAX_ANSWER_BYTES:
        raise AnswerError(f"the answer to CloudFormation may have {MAX_ANSWER_BYTES} bytes, got {len(body)}")
    _put(str(event["ResponseURL"]), body, http or urllib3.PoolManager(), sleep)


def send_failure(
    event: Mapping[str, Any],
    *,
    physical_id: str,
    reason: str,
    http: urllib3.PoolManager | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Answer FAILED; `reason` appears on the stack's event and is cut at its end to fit the answer's limit.

    `event` as for `send_success`. AnswerError when the answer can't be delivered.
    """
    body = _cut_to_fit(_answer(event, "FAILED", physical_id), reason)
    _put(str(event["ResponseURL"]), body, http or urllib3.PoolManager(), sleep)


def signal(
    url: str,
    *,
    status: str,
    unique_id: str,
    data: str,
    reason: str,
    http: urllib3.PoolManager | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send SUCCESS or FAILURE to the wait condition whose handle `url` is; `reason` is cut to fit.

    A condition takes one signal of each `unique_id`: a second one changes nothing. AnswerError when it can't
    be delivered, AnswerRefusedError when the handle has expired.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-waitcondition.html
    """
    signalled = {"Status": status, "UniqueId": unique_id, "Data": data}
    _put(url, _cut_to_fit(signalled, reason), http or urllib3.PoolManager(), sleep)


def _answer(event: Mapping[str, Any], status: str, physical_id: str) -> dict[str, Any]:
    return {
        "Status": status,
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }


def _cut_to_fit(answer: Mapping[str, Any], reason: str) -> bytes:
    """The answer with the reason, whose end is cut off where it is too long."""
    text = reason
    while len(body := _encode({**answer, "Reason": text})) > MAX_ANSWER_BYTES:
        reason = reason[: len(reason) * 9 // 10]
        text = reason + "…"
    return body


def _encode(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def _put(url: str, body: bytes, http: urllib3.PoolManager, sleep: Callable[[float], None]) -> None:
    # The URL is signed for a PUT without a content type, and is a secret: it stays out of logs and messages.
    headers = {"Content-Type": ""}
    for failures in range(1, _TRIES + 1):
        try:
            response = http.request("PUT", url, body=body, headers=headers, timeout=_TIMEOUT, retries=False)
        except urllib3.exceptions.HTTPError as error:
            problem = type(error).__name__
        else:
            if response.status < 300:
                return
            problem = f"HTTP status {response.status}"
            if response.status < 500 and response.status not in (408, 429):
                raise AnswerRefusedError(f"the answer to CloudFormation was refused: {problem}")
        log("cloudformation.answer_failed", problem=problem, tries=failures)
        if failures < _TRIES:
            sleep(full_jitter(failures))
    raise AnswerError(f"the answer to CloudFormation failed {_TRIES} times: {problem}")
