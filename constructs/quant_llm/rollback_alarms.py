"""The alarms that take an update of an endpoint back."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.endpoint_metrics import MICROSECONDS, EndpointMetrics
from quant_llm.thresholds import ERROR_MINUTES, ERROR_SHARE, ROLLBACK_LATENCY_MINUTES

_MINUTE = cdk.Duration.minutes(1)


class RollbackAlarms(Construct):
    """Errors and latency of what an update brings: the instances under one endpoint configuration.

    `metrics` are of one configuration because an alarm over the whole endpoint is set off by what runs
    already, and then SageMaker takes back the very update that mends it. An inference component has none by
    model: its alarms see old and new copies. `name` is that of the configuration, or of the component's
    model, so that each has new alarms: one that is changed in place keeps its state, a broken one included.

    Without data they are at rest, so neither the first deployment nor an idle endpoint is taken back. They
    tell nobody. `role` is the endpoint's, in whose name SageMaker reads them.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        metrics: EndpointMetrics,
        name: str,
        p90_latency_seconds: float,
        role: iam.Role,
    ) -> None:
        super().__init__(scope, construct_id)
        endpoint_name = metrics.endpoint_name
        bad, of = ERROR_MINUTES
        self.alarms = (
            cloudwatch.Alarm(
                self,
                "Errors",
                alarm_name=f"{name}-errors",
                alarm_description=f"Takes an update of {endpoint_name} back: more than "
                f"{ERROR_SHARE * 100:g} % of the new instances' answers are 5xx",
                metric=metrics.error_share(_MINUTE),
                threshold=ERROR_SHARE,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                datapoints_to_alarm=bad,
                evaluation_periods=of,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
            cloudwatch.Alarm(
                self,
                "Latency",
                alarm_name=f"{name}-latency",
                alarm_description=f"Takes an update of {endpoint_name} back: one in ten answers of the new "
                f"instances takes longer than {p90_latency_seconds:g} s",
                metric=metrics.model_latency("p90", _MINUTE),
                threshold=p90_latency_seconds * MICROSECONDS,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                evaluation_periods=ROLLBACK_LATENCY_MINUTES,
                # Of few requests the p90 is the slowest one: no reason to take an update back.
                evaluate_low_sample_count_percentile="ignore",
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
        )
        for alarm in self.alarms:
            acknowledge(
                alarm,
                "NIST.800.53.R5-CloudWatchAlarmAction",
                "SageMaker reads the alarm while it updates the endpoint and takes the update back. People "
                "are told by the alarms over the whole endpoint.",
            )
        # A policy of its own: the role's own one is there before the configuration, these alarms after it.
        self.permissions = iam.Policy(
            self,
            "Permissions",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    actions=["cloudwatch:DescribeAlarms"],
                    resources=[alarm.alarm_arn for alarm in self.alarms],
                )
            ],
        )
