"""The metrics that CloudWatch makes of the log lines of an endpoint's container, one line a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from quant_llm.agency import ENGINES_WITH_REQUEST_METRICS, AgencyConfig, ModelConfig
from quant_llm_serving import embedded_metrics as names
from quant_llm_serving.environment import ENDPOINT_NAME


@dataclass(frozen=True)
class RequestMetrics:
    """The metrics of one endpoint, or of its inference component, by what its container was told it is."""

    endpoint_name: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What the container is told, or its log makes no metrics."""
        return {ENDPOINT_NAME: self.endpoint_name}

    def first_token(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Milliseconds from a request's arrival in the container to its first token, the wait included."""
        return self._metric(names.FIRST_TOKEN, statistic, period)

    def tokens_per_second(self, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        """Tokens a second that one caller gets after the first one."""
        return self._metric(names.TOKENS_PER_SECOND, statistic, period)

    def prompt_tokens(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Tokens of the prompts in a period."""
        return self._metric(names.PROMPT_TOKENS, "Sum", period)

    def generated_tokens(self, period: cdk.Duration) -> cloudwatch.Metric:
        """Tokens generated in a period."""
        return self._metric(names.GENERATED_TOKENS, "Sum", period)

    def _metric(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=names.NAMESPACE,
            metric_name=name,
            statistic=statistic,
            period=period,
            dimensions_map={names.ENDPOINT: self.endpoint_name},
        )


def request_metrics(agency: AgencyConfig, model: ModelConfig) -> RequestMetrics | None:
    """The metrics of a model's requests; None where the file asks for no alarms, and so for none of them.

    AWS's containers (vLLM, TGI) write no such lines.
    """
    if agency.alarms is None or model.engine not in ENGINES_WITH_REQUEST_METRICS:
        return None
    return RequestMetrics(agency.endpoint_name(model))
