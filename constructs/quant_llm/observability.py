"""What people see and hear of an agency's endpoints, as its file asks for."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from quant_llm.agency import AgencyConfig, AlarmsConfig
from quant_llm.alarm_topic import AlarmTopic
from quant_llm.budget import MonthlyBudget
from quant_llm.catalogue import Placement, load_catalogue
from quant_llm.dashboard import AgencyDashboard
from quant_llm.endpoint_alarms import EndpointAlarms
from quant_llm.endpoint_metrics import metrics_kind
from quant_llm.names import AGENCY_TAG
from quant_llm.request_metrics import request_metrics


class Observability(Construct):
    """Alarms, their topic and a dashboard for `alarms` in the agency file; a budget for `budget`.

    Empty for a file with neither. `topic` is who hears of alarms, None without them. `placements` has each
    model's instance type, by the model's name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        agency: AgencyConfig,
        placements: Mapping[str, Placement],
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic: sns.ITopic | None = None
        if agency.alarms is not None:
            self.topic = self._watch(agency, agency.alarms, placements)
        if agency.budget is not None:
            MonthlyBudget(self, "Budget", budget=agency.budget, tag_key=AGENCY_TAG, tag_value=agency.agency)

    def _watch(
        self, agency: AgencyConfig, alarms: AlarmsConfig, placements: Mapping[str, Placement]
    ) -> sns.ITopic:
        topic = AlarmTopic(
            self, "Alarms", display_name=f"Alarms of the agency {agency.agency}", emails=alarms.notify
        )
        action = actions.SnsAction(topic.topic)
        watched: dict[str, EndpointAlarms] = {}
        for model in agency.models:
            instance = load_catalogue().find(placements[model.name].instance_type)
            metrics_of = metrics_kind(agency.deployed(model))
            watched[agency.endpoint_name(model)] = EndpointAlarms(
                self,
                model.name,
                metrics=metrics_of(agency.endpoint_name(model)),
                requests=request_metrics(agency, model),
                concurrency=model.concurrency,
                p90_latency_seconds=agency.p90_latency_seconds(model),
                p90_first_token_seconds=alarms.first_token_seconds,
                gpu_count=0 if instance is None else instance.gpu_count,
                action=action,
            )
        AgencyDashboard(self, "Dashboard", name=agency.stack_name, endpoints=watched)
        cdk.CfnOutput(self, "AlarmTopicArn", value=topic.topic.topic_arn)
        return topic.topic
