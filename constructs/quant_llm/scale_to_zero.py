"""What takes the copies of an inference component away, the last one included, and what brings one back.

Application Auto Scaling's own target tracking would take the last copy after a quarter of an hour, whatever
the file says (it has no setting for that), so it adds copies only.
"""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct

from quant_llm.endpoint_metrics import ComponentMetrics
from quant_llm.thresholds import QUIET_MINUTES

_MINUTE = cdk.Duration.minutes(1)

_WAKE_MINUTES: Final = 10
"""Minutes in which the first copy comes, by public reports: refused calls go on, and ask for one more."""

_ANY_LOAD: Final = 0.01
"""Requests at a time per copy that are more than none: one request is less than 1 where there are several."""


class ScaleToZero(Construct):
    """Three step policies, each on an alarm: from zero, one less of several, and to zero.

    `metrics` are the component's, `target_value` is its requests at a time per copy, `idle_minutes` how long
    nobody must have called, `most` the greatest number of copies.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        target: autoscaling.ScalableTarget,
        metrics: ComponentMetrics,
        target_value: float,
        idle_minutes: int,
        most: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._target = target
        self._name = metrics.endpoint_name
        self._step(
            "FromZero",
            "someone calls and no copy is in service: brings the first one",
            metrics.calls_without_copy(_MINUTE),
            above=0,
            change=1,
            # Not longer than it takes to be at zero again, or that call would go unheard.
            cooldown=cdk.Duration.minutes(min(_WAKE_MINUTES, idle_minutes)),
        )
        if most > 1:
            quiet = cdk.Duration.minutes(QUIET_MINUTES)
            self._step(
                "Quiet",
                f"several copies have half of their requests or less for {QUIET_MINUTES} minutes: takes one",
                _quiet(metrics, target_value, quiet),
                above=0,
                change=-1,
                cooldown=quiet,
            )
        self._idle(metrics, idle_minutes)

    def _step(
        self,
        name: str,
        meaning: str,
        metric: cloudwatch.IMetric,
        *,
        above: float,
        change: int,
        cooldown: cdk.Duration,
    ) -> None:
        alarm = self._alarm(
            name, meaning, metric, cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD, above, 1
        )
        policy = autoscaling.StepScalingAction(
            self,
            f"{name}Policy",
            scaling_target=self._target,
            adjustment_type=autoscaling.AdjustmentType.CHANGE_IN_CAPACITY,
            metric_aggregation_type=autoscaling.MetricAggregationType.MAXIMUM,
            cooldown=cooldown,
        )
        policy.add_adjustment(adjustment=change, lower_bound=0)
        alarm.add_alarm_action(actions.ApplicationScalingAction(policy))

    def _idle(self, metrics: ComponentMetrics, minutes: int) -> None:
        alarm = self._alarm(
            "Idle",
            f"nobody has called for {minutes} minutes: takes all copies",
            metrics.concurrency("Maximum", _MINUTE),
            cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            _ANY_LOAD,
            minutes,
        )
        policy = autoscaling.StepScalingAction(
            self,
            "IdlePolicy",
            scaling_target=self._target,
            adjustment_type=autoscaling.AdjustmentType.EXACT_CAPACITY,
            metric_aggregation_type=autoscaling.MetricAggregationType.MAXIMUM,
            cooldown=_MINUTE,
        )
        policy.add_adjustment(adjustment=0, upper_bound=0)
        alarm.add_alarm_action(actions.ApplicationScalingAction(policy))

    def _alarm(
        self,
        name: str,
        meaning: str,
        metric: cloudwatch.IMetric,
        operator: cloudwatch.ComparisonOperator,
        threshold: float,
        periods: int,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            alarm_description=f"Scales {self._name}: {meaning}",
            metric=metric,
            comparison_operator=operator,
            threshold=threshold,
            evaluation_periods=periods,
            # Without a copy there is no data, and after a deployment too little: nothing is taken for that.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def _quiet(metrics: ComponentMetrics, target_value: float, period: cdk.Duration) -> cloudwatch.MathExpression:
    """1 in a period in which there were several copies and each had half of its target at most; else 0.

    SageMaker publishes no number of copies: it is the calls divided by the calls per copy. With half of the
    target on each, one copy less has at most the target on each, whatever their number.
    """
    return cloudwatch.MathExpression(
        expression=f"IF(calls / percopy > 1.5 AND busiest <= {target_value / 2:g}, 1, 0)",
        using_metrics={
            "calls": metrics.invocations(period),
            "percopy": metrics.calls_per_copy(period),
            "busiest": metrics.concurrency("Maximum", period),
        },
        label="several copies with half of their requests or less",
        period=period,
    )
