"""Wait conditions: the stack goes on when enough signals have come to a handle's URL."""

from __future__ import annotations

import json
import time
from typing import Any

from quant_llm_tools.local_aws.cloudformation.answers import Answers
from quant_llm_tools.local_aws.resources.request import Request
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any


class WaitConditionHandle:
    """AWS::CloudFormation::WaitConditionHandle: its physical id is the URL to signal to."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def create(self, request: Request) -> None:
        """Open the URL."""
        request.identify(self._answers.new_url())

    def update(self, request: Request) -> None:
        """Nothing can change."""

    def delete(self, request: Request) -> None:
        """Close the URL."""
        self._answers.close(request.physical_id)


class WaitCondition:
    """AWS::CloudFormation::WaitCondition."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def create(self, request: Request) -> None:
        """There is nothing to make."""
        request.accept_all()
        request.identify(request.name("", 255))

    def wait(self, request: Request) -> None:
        """Wait for `Count` signals; one that says FAILURE fails the condition."""
        count, timeout = int(request.properties.get("Count", 1)), float(request.properties["Timeout"])
        deadline = time.monotonic() + timeout
        data: dict[str, Json] = {}
        while len(data) < count:
            if request.cancelled.is_set():
                raise ResourceFailed("Resource creation cancelled")
            if time.monotonic() > deadline or request.cloud.stopping.is_set():
                raise ResourceFailed(
                    f"WaitCondition timed out. Received {len(data)} conditions when expecting {count}"
                )
            body = self._answers.next(request.properties["Handle"], 0.1)
            if body is None:
                continue
            signal = json.loads(body)
            if signal["Status"] != "SUCCESS":
                who = f"for uniqueId: {signal['UniqueId']}"
                raise ResourceFailed(f"WaitCondition received failed message: '{signal.get('Reason')}' {who}")
            data[signal["UniqueId"]] = signal.get("Data")
        request.attributes = {"Data": json.dumps(data)}

    def update(self, request: Request) -> None:
        """CloudFormation refuses it."""
        raise ResourceFailed("Update to resource type AWS::CloudFormation::WaitCondition is not supported.")

    def delete(self, request: Request) -> None:
        """Nothing is left of it."""
