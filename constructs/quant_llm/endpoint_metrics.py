"""The metrics of an endpoint that alarms and the dashboard read.

Names, units and dimensions are those of the SageMaker developer guide, "Amazon SageMaker AI metrics in Amazon
CloudWatch" and "Auto-Rollback Configuration and Monitoring".
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from quant_llm.agency import ModelConfig
from quant_llm.names import VARIANT_NAME

_INVOCATIONS = "AWS/SageMaker"
_INSTANCES = "/aws/sagemaker/Endpoints"
_COPIES = "/aws/sagemaker/InferenceComponents"

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

    def gpus_summed(self, gpu_count: int) -> int:
        """Over how many of an instance's GPUs the metrics of GPUs are a sum."""
        return gpu_count

    def _invocation(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        dimensions = self._dimensions()
        if self.configuration is not None:
            dimensions["EndpointConfigName"] = self.configuration
        return _metric(_INVOCATIONS, name, statistic, period, dimensions)

    def _instance(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return _metric(_INSTANCES, name, statistic, period, self._dimensions())

    def _dimensions(self) -> dict[str, str]:
        return {"EndpointName": self.endpoint_name, "VariantName": VARIANT_NAME}


class ComponentMetrics(EndpointMetrics):
    """The metrics of an inference component with its endpoint's name: by copy, where those are by instance.

    SageMaker publishes none of them under a model of the component.
    """

    def concurrency(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests at a time per copy; 0 while nobody calls, no data without a copy."""
        return self._invocation("ConcurrentRequestsPerCopy", statistic, period)

    def calls_per_copy(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests in a period, divided by the number of copies."""
        return self._invocation("InvocationsPerCopy", "Sum", period)

    def calls_without_copy(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests in a period that were refused because no copy was in service."""
        return self._invocation("NoCapacityInvocationFailures", "Sum", period)

    def gpu_memory(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Per cent of the GPU memory of a copy in use: 100 when all of its GPUs' is."""
        return self._copy("GPUMemoryUtilizationNormalized", statistic, period)

    def gpu(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Per cent of the time that the GPUs of a copy work."""
        return self._copy("GPUUtilizationNormalized", statistic, period)

    def gpus_summed(self, gpu_count: int) -> int:
        """One: the metrics of a copy are shares of all that it has."""
        return 1

    def _copy(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return _metric(_COPIES, name, statistic, period, self._dimensions())

    def _dimensions(self) -> dict[str, str]:
        return {"InferenceComponentName": self.endpoint_name}


class AsyncMetrics(EndpointMetrics):
    """The metrics of an asynchronous endpoint, which has a queue as well."""

    def backlog_per_instance(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Requests in the queue, those that are being answered included, divided by the instances."""
        return self._queue("ApproximateBacklogSizePerInstance", "Average", period)

    def backlog_without_capacity(self, period: cdk.Duration) -> cloudwatch.Metric:
        """1 while there are requests in the queue and no instance."""
        return self._queue("HasBacklogWithoutCapacity", "Maximum", period)

    def _queue(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return _metric(_INVOCATIONS, name, statistic, period, {"EndpointName": self.endpoint_name})


def metrics_kind(model: ModelConfig) -> type[EndpointMetrics]:
    """The kind of metrics that a model's endpoint has."""
    if model.is_async:
        return AsyncMetrics
    return ComponentMetrics if model.is_component else EndpointMetrics


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
