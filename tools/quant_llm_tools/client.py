"""Calls an endpoint that may have no instance at the moment. It needs boto3 alone, so it may be copied.

    runtime = boto3.client("sagemaker-runtime")
    answer = call_when_ready(runtime.invoke_endpoint, "moh-chat", Body=body, ContentType="application/json")

An endpoint that scales to zero has an inference component, which a call must name; its name is the
endpoint's. Without an instance SageMaker refuses calls at once. A refused call is what brings the first
instance, which takes minutes: call again until it answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError

_T = TypeVar("_T")

RETRY_SECONDS = 15
"""Seconds between two calls. SageMaker counts refused calls by the minute: more of them bring nothing."""

# SageMaker has no error code for these, only messages.
_NO_INSTANCE = "has no capacity to process this request"
_WANTS_COMPONENT = "Inference Component Name header is required"


def call_when_ready(
    call: Callable[..., _T],
    endpoint: str,
    *,
    timeout: float = 900,
    waiting: Callable[[float], None] = lambda seconds: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    **request: Any,
) -> _T:
    """Call `invoke_endpoint` or `invoke_endpoint_with_response_stream` until an instance answers.

    `timeout` is how many seconds to wait for the first instance; `waiting` hears before each pause how many
    have gone by. Raises the ClientError of the last call, of any other error at once.
    """
    began = clock()
    while True:
        try:
            return call(EndpointName=endpoint, **request)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if _WANTS_COMPONENT in message and "InferenceComponentName" not in request:
                request["InferenceComponentName"] = endpoint
                continue
            gone = clock() - began
            if _NO_INSTANCE not in message or gone >= timeout:
                raise
        waiting(gone)
        sleep(min(RETRY_SECONDS, timeout - gone))
