"""CloudWatch metrics in the log line of a request, in CloudWatch's embedded metric format.

CloudWatch Logs makes metrics of such a line by itself, in any log group: "No setup is required to use the
embedded metric format" (CloudWatch user guide, "Embedding metrics within logs"), and the header
`x-amzn-logs-format` is "not required" ("Using the PutLogEvents API"). The line is to be one JSON object with
nothing before or after it ("Specification: Embedded metric format").

The container needs no network and no permission for it. docs/decisions/0010 has the reasons.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

NAMESPACE = "QuantLlm"
"""The metrics' namespace in CloudWatch."""

ENDPOINT = "EndpointName"
"""The metrics' one dimension. What differs from request to request is none: each value would be a metric."""

FIRST_TOKEN = "first_token_milliseconds"  # noqa: S105 - a measurement
TOKENS_PER_SECOND = "tokens_per_second"
PROMPT_TOKENS = "prompt_tokens"
GENERATED_TOKENS = "generated_tokens"

UNITS: Mapping[str, str] = {
    FIRST_TOKEN: "Milliseconds",
    TOKENS_PER_SECOND: "Count/Second",
    PROMPT_TOKENS: "Count",
    GENERATED_TOKENS: "Count",
}
"""Each metric's unit. A metric has the name of the field in the log line that it is read from."""


def with_metrics(fields: Mapping[str, object], endpoint_name: str | None) -> dict[str, Any]:
    """The fields of a log line, and what makes metrics of those among them that `UNITS` has.

    A field that is None makes no metric; without an endpoint's name, as on a laptop, none does.
    """
    metrics = [{"Name": name, "Unit": unit} for name, unit in UNITS.items() if fields.get(name) is not None]
    if endpoint_name is None or not metrics:
        return dict(fields)
    directive = {"Namespace": NAMESPACE, "Dimensions": [[ENDPOINT]], "Metrics": metrics}
    embedded = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return {**fields, ENDPOINT: endpoint_name, "_aws": embedded}
