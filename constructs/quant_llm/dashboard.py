"""One page of an agency's endpoints."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from quant_llm.endpoint_alarms import EndpointAlarms
from quant_llm.request_metrics import RequestMetrics

_PERIOD = cdk.Duration.minutes(5)
_WIDTH = 6  # of 24: four graphs in a row
_WIDER = 8


class AgencyDashboard(Construct):
    """Alarms first, then each endpoint: requests, latency, load, GPUs; and tokens where its log has them."""

    def __init__(
        self, scope: Construct, construct_id: str, *, name: str, endpoints: Mapping[str, EndpointAlarms]
    ) -> None:
        super().__init__(scope, construct_id)
        dashboard = cloudwatch.Dashboard(self, "Resource", dashboard_name=name)
        alarms = [alarm for endpoint in endpoints.values() for alarm in endpoint.alarms]
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", width=24, alarms=alarms))
        for endpoint_name, endpoint in endpoints.items():
            dashboard.add_widgets(cloudwatch.TextWidget(markdown=f"## {endpoint_name}", width=24, height=1))
            dashboard.add_widgets(*_row(endpoint))
            if endpoint.requests is not None:
                dashboard.add_widgets(*_tokens(endpoint.requests))


def _row(endpoint: EndpointAlarms) -> list[cloudwatch.IWidget]:
    metrics = endpoint.metrics
    return [
        cloudwatch.GraphWidget(
            title="Requests",
            width=_WIDTH,
            left=[metrics.invocations(_PERIOD), metrics.client_errors(_PERIOD)],
            right=[metrics.error_share(_PERIOD)],
        ),
        cloudwatch.GraphWidget(
            title="Latency, microseconds",
            width=_WIDTH,
            left=[metrics.model_latency(statistic, _PERIOD) for statistic in ("p50", "p90", "p99")],
        ),
        cloudwatch.GraphWidget(
            title="Requests at a time per instance",
            width=_WIDTH,
            left=[metrics.concurrency(statistic, _PERIOD) for statistic in ("Minimum", "Maximum")],
        ),
        cloudwatch.GraphWidget(
            title="GPUs, per cent",
            width=_WIDTH,
            left=[metrics.gpu("Average", _PERIOD), metrics.gpu_memory("Maximum", _PERIOD)],
        ),
    ]


def _tokens(requests: RequestMetrics) -> list[cloudwatch.IWidget]:
    return [
        cloudwatch.GraphWidget(
            title="Time to first token, milliseconds",
            width=_WIDER,
            left=[requests.first_token(statistic, _PERIOD) for statistic in ("p50", "p90", "p99")],
        ),
        cloudwatch.GraphWidget(
            title="Tokens per second of one answer",
            width=_WIDER,
            left=[requests.tokens_per_second(statistic, _PERIOD) for statistic in ("p50", "p10")],
        ),
        cloudwatch.GraphWidget(
            title="Tokens in five minutes",
            width=_WIDER,
            left=[requests.prompt_tokens(_PERIOD), requests.generated_tokens(_PERIOD)],
        ),
    ]
