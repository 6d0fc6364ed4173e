"""The AWS edge: SageMaker's endpoints, their logs, the topic, the state machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import urllib3
from botocore.exceptions import ClientError

from quant_llm_watchdog.endpoint import Endpoint
from quant_llm_watchdog.notice import Notice

_STREAMS = 3  # instances whose logs are read, those that wrote last
_LINES = 500  # of each: an engine writes some hundred while it loads


def describe(name: str, *, component: bool = False) -> Endpoint | None:
    """An endpoint, or an inference component; None when there is none of the name."""
    sagemaker: Any = boto3.client("sagemaker")
    try:
        if component:
            return Endpoint.from_component(
                sagemaker.describe_inference_component(InferenceComponentName=name)
            )
        return Endpoint.from_description(sagemaker.describe_endpoint(EndpointName=name))
    except ClientError as error:
        # SageMaker has no error code of its own for what isn't there.
        if "Could not find" in str(error):
            return None
        raise


def log_lines(group: str, since: float) -> list[str]:
    """The lines of a group's instances since a moment, in seconds since 1970; the oldest first."""
    logs: Any = boto3.client("logs")
    try:
        streams = logs.describe_log_streams(
            logGroupName=group, orderBy="LastEventTime", descending=True, limit=_STREAMS
        )["logStreams"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    events: list[tuple[int, str]] = []
    for stream in streams:
        found = logs.get_log_events(
            logGroupName=group,
            logStreamName=stream["logStreamName"],
            startTime=int(since * 1000),
            limit=_LINES,
            startFromHead=False,
        )["events"]
        events += [(event["timestamp"], event["message"]) for event in found]
    return [message for _, message in sorted(events, key=lambda event: event[0])]


def publish(topic_arn: str, notice: Notice) -> None:
    """Send a notice to a topic."""
    boto3.client("sns").publish(TopicArn=topic_arn, Subject=notice.subject, Message=notice.text)


def start_execution(state_machine_arn: str, name: str, input_: Mapping[str, Any]) -> None:
    """Start an execution; one of this name that ran in the last 90 days is the same one."""
    client = boto3.client("stepfunctions")
    try:
        client.start_execution(stateMachineArn=state_machine_arn, name=name, input=json.dumps(input_))
    except client.exceptions.ExecutionAlreadyExists:
        return


@dataclass(frozen=True, kw_only=True)
class Edges:
    """What the function reaches, each as a seam."""

    describe: Callable[..., Endpoint | None] = describe
    log_lines: Callable[[str, float], list[str]] = log_lines
    publish: Callable[[str, Notice], None] = publish
    start_execution: Callable[[str, str, Mapping[str, Any]], None] = start_execution
    http: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
