"""Metrics that CloudWatch Logs makes of log lines in the embedded metric format, which moto does not.

By "Specification: Embedded metric format" in the CloudWatch user guide. A line that is not in the format
makes no metrics; AWS counts such lines (EMFParsingErrors, EMFValidationErrors), the embedded AWS does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.logs.models import LogStream

from quant_llm_tools.local_aws.cloud import Seam

Metrics = tuple[str, list[dict[str, Any]]]
"""A namespace, and data of its metrics in the form of PutMetricData."""


def seams() -> list[Seam]:
    """Every event that a log stream takes is looked at, whoever writes it."""
    put_log_events = LogStream.put_log_events

    def put_and_extract(stream: LogStream, log_events: list[dict[str, Any]]) -> str:
        token = put_log_events(stream, log_events)
        for event in log_events:
            for namespace, data in embedded_metrics(event["message"]):
                cloudwatch_backends[stream.account_id][stream.region].put_metric_data(namespace, data)
        return token

    return [(LogStream, "put_log_events", put_and_extract)]


def embedded_metrics(message: str) -> list[Metrics]:
    """The metrics that a log event holds; nothing for one that is not in the format."""
    if '"_aws"' not in message:  # most lines are not: none of them is parsed
        return []
    try:
        root = json.loads(message)
        metadata = root["_aws"]
        moment = datetime.fromtimestamp(metadata["Timestamp"] / 1000, UTC).replace(
            tzinfo=None
        )  # as moto has it
        return [
            (str(directive["Namespace"]), list(_data(root, directive, moment)))
            for directive in metadata["CloudWatchMetrics"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return []


def _data(
    root: Mapping[str, Any], directive: Mapping[str, Any], moment: datetime
) -> Iterator[dict[str, Any]]:
    """One datum for each value of a metric and each set of dimensions. Raises as a wrong document does."""
    for keys in directive["Dimensions"]:
        dimensions = [{"Name": key, "Value": _text(root[key])} for key in keys]
        for metric in directive["Metrics"]:
            values = root[metric["Name"]]
            for value in values if isinstance(values, list) else [values]:
                yield {
                    "MetricName": metric["Name"],
                    "Dimensions": dimensions,
                    "Timestamp": moment,
                    "Value": _number(value),
                    "Unit": metric.get("Unit", "None"),
                }


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("the value of a dimension must be a string")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise TypeError("the value of a metric must be a number")
