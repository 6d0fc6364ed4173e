"""Custom resources: made by a Lambda function that answers to a pre-signed URL."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from quant_llm_tools.local_aws.cloudformation.answers import Answers
from quant_llm_tools.local_aws.cloudformation.intrinsics import text
from quant_llm_tools.local_aws.resources.request import Request
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any

# "Custom resource response objects": the documented limits of an answer.
_LONGEST_ANSWER = 4096
_LONGEST_ID = 1024
_DEFAULT_TIMEOUT = 3600

Invoke = Callable[[str, dict[str, Json]], "Future[str | None]"]
"""Invokes a function by ARN, asynchronously; the future holds what went wrong with the function, or None."""


class CustomResource:
    """`Custom::…` and AWS::CloudFormation::CustomResource."""

    def __init__(self, answers: Answers, invoke: Invoke) -> None:
        self._answers = answers
        self._invoke = invoke

    def create(self, request: Request) -> None:
        """Ask for a Create; the answer names the resource."""
        self._ask(request, "Create", request.identify)

    def update(self, request: Request) -> None:
        """Ask for an Update; an answer with another id makes CloudFormation delete the old one afterwards."""
        if request.changed("ServiceToken"):
            raise ResourceFailed("Modifying service token is not allowed.")

        def identified(physical_id: str) -> None:
            request.physical_id = physical_id

        more = {
            "PhysicalResourceId": request.physical_id,
            "OldResourceProperties": _as_strings(request.old),
        }
        self._ask(request, "Update", identified, more)

    def delete(self, request: Request) -> None:
        """Ask for a Delete."""
        more = {"PhysicalResourceId": request.physical_id}
        self._ask(request, "Delete", lambda physical_id: None, more)

    def _ask(
        self,
        request: Request,
        kind: str,
        identified: Callable[[str], None],
        more: Mapping[str, Json] | None = None,
    ) -> None:
        request.accept_all()
        url = self._answers.new_url()
        event = {
            "RequestType": kind,
            "ServiceToken": request.properties["ServiceToken"],
            "ResponseURL": url,
            "StackId": request.stack.id,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": request.logical_id,
            "ResourceType": request.type,
            "ResourceProperties": _as_strings(request.properties),
            **(more or {}),
        }
        try:
            answer = self._await(request, url, event)
        finally:
            self._answers.close(url)
        if physical_id := answer.get("PhysicalResourceId"):
            if not isinstance(physical_id, str) or len(physical_id) > _LONGEST_ID:
                raise ResourceFailed("Invalid PhysicalResourceId")
            identified(physical_id)
        if answer.get("Status") != "SUCCESS":
            reason = answer.get("Reason") or "no reason given"
            raise ResourceFailed(
                f"Received response status [{answer.get('Status')}] from custom resource."
                f" Message returned: {reason} (RequestId: {event['RequestId']})"
            )
        if not physical_id:
            raise ResourceFailed("Invalid PhysicalResourceId")
        request.attributes = dict(answer.get("Data") or {})

    def _await(self, request: Request, url: str, event: dict[str, Json]) -> dict[str, Json]:
        timeout = float(request.properties.get("ServiceTimeout", _DEFAULT_TIMEOUT))
        deadline = time.monotonic() + timeout
        invocation = self._invoke(event["ServiceToken"], event)
        while time.monotonic() < deadline:
            if request.cloud.stopping.is_set():
                raise ResourceFailed("the embedded AWS stops")
            ended = invocation.done()
            body = self._answers.next(url, 0.05)
            if body is not None:
                return _parsed(body, event)
            # AWS waits for the whole timeout even if the function crashed; here its error is told at once.
            if ended and (problem := invocation.result()):
                raise ResourceFailed(f"the custom resource's function failed: {problem}")
        raise ResourceFailed(
            f"CloudFormation did not receive a response from your Custom Resource within {timeout:g} seconds."
            f" Please check your logs for requestId [{event['RequestId']}]."
        )


def _parsed(body: bytes, event: Mapping[str, Json]) -> dict[str, Json]:
    if len(body) > _LONGEST_ANSWER:
        raise ResourceFailed("Response object is too long.")
    try:
        answer = json.loads(body)
    except ValueError:
        raise ResourceFailed("Invalid Response object: it is not JSON") from None
    if not isinstance(answer, dict):
        raise ResourceFailed("Invalid Response object: it must be an object")
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        if answer.get(name) != event[name]:
            raise ResourceFailed(f"Invalid Response object: {name} is not that of the request")
    return answer


def _as_strings(value: Json) -> Json:
    """CloudFormation turns every scalar of a custom resource's properties into a string."""
    if isinstance(value, Mapping):
        return {key: _as_strings(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_as_strings(item) for item in value]
    return text(value)
