"""The metrics of an endpoint that alarms and the dashboard read.

Names, units and dimensions are those of the SageMaker developer guide, "Amazon SageMaker AI metrics in Amazon
CloudWatch" and "Auto-Rollback Configuration and Monitoring".
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from quant_llm.names import VARIANT_NAME

_INVOCATIONS = "AWS/SageMaker"
_INSTANCES = "/aws/sagemaker/Endpoints"

MICROSECONDS = 1_000_000
"""SageMaker's latencies are in microseconds."""


@dataclass(frozen=True)
class EndpointMetrics:
    """The metrics of one endpoint, or of its instances under one configuration only.

    `configuration` is an endpoint configuration's name: SageMaker publishes the metrics of requests under it
    as well, so the old and the new instances of an update can be told apart.
    """

    endpoint_name: str
    configuration: str | None = None

    def invocations(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests in a period."""
        return self._invocation("Invocations", "Sum", period)

    def error_share(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Share of the requests, 0 to 1, that were answered with a 5xx status."""
        return self._invocation("Invocation5XXErrors", "Average", period)

    def client_errors(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests in a period that were answered with a 4xx status."""
        return self._invocation("Invocation4XXErrors", "Sum", period)

    def model_latency(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Microseconds that the container took to answer, `p90` for example."""
        return self._invocation("ModelLatency", statistic, period)

    def concurrency(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests at a time per instance, those that wait in it included."""
        return self._invocation("ConcurrentRequestsPerModel", statistic, period)

    def gpu_memory(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Per cent of an instance's GPU memory in use, summed over its GPUs: up to 400 with four."""
        return self._instance("GPUMemoryUtilization", statistic, period)

    def gpu(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Per cent of the time that an instance's GPUs work, summed over them."""
        return self._instance("GPUUtilization", statistic, period)

    def _invocation(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        dimensions = self._dimensions()
        if self.configuration is not None:
            dimensions["EndpointConfigName"] = self.configuration
        return _metric(_INVOCATIONS, name, statistic, period, dimensions)

    def _instance(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return _metric(_INSTANCES, name, statistic, period, self._dimensions())

    def _dimensions(self) -> dict[str, str]:
        return {"EndpointName": self.endpoint_name, "VariantName": VARIANT_NAME}


def _metric(
    namespace: str, name: str, statistic: str, period: cdk.Duration, dimensions: dict[str, str]
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        statistic=statistic,
        period=period,
        dimensions_map=dimensions,
    )
