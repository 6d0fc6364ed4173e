"""The alarms of an endpoint that people hear of."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from quant_llm.endpoint_metrics import MICROSECONDS, AsyncMetrics, ComponentMetrics, EndpointMetrics
from quant_llm.names import pascal_case
from quant_llm.request_metrics import RequestMetrics
from quant_llm.thresholds import (
    CAPACITY_MINUTES,
    COLD_START_MINUTES,
    ERROR_MINUTES,
    ERROR_SHARE,
    FIRST_TOKEN_PERIODS,
    GPU_MEMORY_MINUTES,
    GPU_MEMORY_PERCENT,
    LATENCY_MINUTES,
)

_MINUTE = cdk.Duration.minutes(1)
_FIVE_MINUTES = cdk.Duration.minutes(5)
_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
_MILLISECONDS = 1000
_AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


class EndpointAlarms(Construct):
    """Errors, latency, no capacity left and full GPU memory of one endpoint, or of its inference component.

    `requests` are the metrics that its container's log makes, None where it makes none: with them, and where
    callers wait for an answer, there is an alarm of the first token as well. `concurrency` is the number of
    requests that an instance serves at a time, `gpu_count` that of its GPUs; 0 where there are none or the
    catalogue doesn't know. `alarms` has them all.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        metrics: EndpointMetrics,
        requests: RequestMetrics | None,
        concurrency: int,
        p90_latency_seconds: float,
        p90_first_token_seconds: float,
        gpu_count: int,
        action: cloudwatch.IAlarmAction,
    ) -> None:
        super().__init__(scope, construct_id)
        self.metrics = metrics
        self.requests = requests
        self._endpoint_name = metrics.endpoint_name
        self._action = action
        self.alarms: list[cloudwatch.Alarm] = []
        bad, of = ERROR_MINUTES
        self._alarm(
            "errors",
            f"more than {ERROR_SHARE * 100:g} % of the answers are 5xx, in {bad} of {of} minutes",
            self.metrics.error_share(_MINUTE),
            _ABOVE,
            ERROR_SHARE,
            of,
            bad,
        )
        self._alarm(
            "latency",
            f"one in ten answers takes longer than {p90_latency_seconds:g} s, for {LATENCY_MINUTES} minutes",
            self.metrics.model_latency("p90", _FIVE_MINUTES),
            _ABOVE,
            p90_latency_seconds * MICROSECONDS,
            LATENCY_MINUTES // 5,
        )
        if not isinstance(metrics, AsyncMetrics):  # where to have no slot free is what a queue is for
            self._capacity(concurrency)
            if requests is not None:
                self._first_token(requests, p90_first_token_seconds)
        self._no_capacity()
        if gpu_count:
            self._alarm(
                "gpu-memory",
                f"GPU memory has been full to {GPU_MEMORY_PERCENT} % for {GPU_MEMORY_MINUTES} minutes",
                self.metrics.gpu_memory("Maximum", _FIVE_MINUTES),
                _AT_LEAST,
                GPU_MEMORY_PERCENT * metrics.gpus_summed(gpu_count),
                GPU_MEMORY_MINUTES // 5,
            )

    def _capacity(self, concurrency: int) -> None:
        self._alarm(
            "capacity",
            f"every instance has had its {concurrency} requests or more at a time for {CAPACITY_MINUTES} "
            "minutes: it is at its greatest number of instances, or AWS has no more of them",
            self.metrics.concurrency("Minimum", _MINUTE),
            _AT_LEAST,
            concurrency,
            CAPACITY_MINUTES,
        )

    def _first_token(self, requests: RequestMetrics, seconds: float) -> None:
        bad, of = FIRST_TOKEN_PERIODS
        self._alarm(
            "first-token",
            f"one in ten answers takes longer than {seconds:g} s to its first token, for {5 * bad} of "
            f"{5 * of} minutes",
            requests.first_token("p90", _FIVE_MINUTES),
            _ABOVE,
            seconds * _MILLISECONDS,
            of,
            bad,
        )

    def _no_capacity(self) -> None:
        """The first instance does not come, where there may be none."""
        if isinstance(self.metrics, ComponentMetrics):
            meaning, metric = "calls are refused", self.metrics.calls_without_copy(_FIVE_MINUTES)
        elif isinstance(self.metrics, AsyncMetrics):
            meaning, metric = "requests wait", self.metrics.backlog_without_capacity(_FIVE_MINUTES)
        else:
            return
        self._alarm(
            "no-capacity",
            f"{meaning} for {COLD_START_MINUTES} minutes because no instance is in service: AWS has none of "
            "the type, or the model does not start",
            metric,
            _ABOVE,
            0,
            COLD_START_MINUTES // 5,
        )

    def _alarm(
        self,
        name: str,
        meaning: str,
        metric: cloudwatch.IMetric,
        operator: cloudwatch.ComparisonOperator,
        threshold: float,
        periods: int,
        bad_periods: int | None = None,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            pascal_case(name),
            alarm_name=f"{self._endpoint_name}-{name}",
            alarm_description=f"{self._endpoint_name}: {meaning}",
            metric=metric,
            comparison_operator=operator,
            threshold=threshold,
            evaluation_periods=periods,
            datapoints_to_alarm=bad_periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        self.alarms.append(alarm)
