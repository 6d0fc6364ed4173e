"""Alarms, topic, dashboard and budget of an agency file, read back through AWS's own API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import ENGINES_WITH_REQUEST_METRICS, AgencyConfig, load_agency
from quant_llm.catalogue import Placement
from quant_llm.observability import Observability
from tests.integration.local_aws.account import Account

HEALTH = Path(__file__).parents[2] / "fixtures" / "agencies" / "health.yaml"
STACK = "health"


def resources(agency: AgencyConfig) -> dict[str, Any]:
    """The resources of the agency's observability, as the stack has them."""
    stack = cdk.Stack(cdk.App(), STACK, env=cdk.Environment(account="123456789012", region="us-east-1"))
    placements = {
        model.name: Placement(
            instance_type="ml.g5.12xlarge",
            ami=None,
            volume_gb=None,
            instance_store=True,
            download_seconds=60,
            startup_seconds=60,
        )
        for model in agency.models
    }
    Observability(stack, "Observability", agency=agency, placements=placements)
    template: dict[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return template


def changed(**fields: object) -> AgencyConfig:
    """The example agency with other top-level fields; None leaves one out."""
    data = load_agency(HEALTH).model_dump(exclude_none=True) | fields
    return AgencyConfig.model_validate({name: value for name, value in data.items() if value is not None})


def budgets(account: Account) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.client("budgets").describe_budgets(AccountId="123456789012")[
        "Budgets"
    ]
    return found


def notices(account: Account, budget: str) -> list[tuple[str, float, list[str]]]:
    """Kind, per cent and addresses of each notice."""
    client, of = account.client("budgets"), {"AccountId": "123456789012", "BudgetName": budget}
    return [
        (
            notice["NotificationType"],
            notice["Threshold"],
            [
                subscriber["Address"]
                for subscriber in client.describe_subscribers_for_notification(Notification=notice, **of)[
                    "Subscribers"
                ]
            ],
        )
        for notice in client.describe_notifications_for_budget(**of)["Notifications"]
    ]


def alarms(account: Account) -> dict[str, dict[str, Any]]:
    pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate()
    return {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}


def test_what_the_file_asks_for_is_read_back_changed_and_gone(account: Account) -> None:
    agency = load_agency(HEALTH)
    assert account.deploy(STACK, resources(agency))["StackStatus"] == "CREATE_COMPLETE", account.events(STACK)

    found = alarms(account)
    kinds = {
        model.name: [
            *("errors", "latency", "capacity", "gpu-memory"),
            *(["no-capacity"] * model.is_component),
            *(["first-token"] * (model.engine in ENGINES_WITH_REQUEST_METRICS)),
        ]
        for model in agency.models
    }
    assert set(found) == {
        f"{agency.endpoint_name(model)}-{kind}" for model in agency.models for kind in kinds[model.name]
    }
    for model in agency.models:
        name = agency.endpoint_name(model)
        dimensions = [
            {"Name": "EndpointName", "Value": name},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ]
        if model.is_component:
            dimensions = [{"Name": "InferenceComponentName", "Value": name}]
        mine = {kind: found[f"{name}-{kind}"] for kind in kinds[model.name]}
        assert all(alarm["TreatMissingData"] == "notBreaching" for alarm in mine.values())
        if first := mine.pop("first-token", None):
            assert (first["Threshold"], first["ExtendedStatistic"]) == (10_000, "p90")
            assert (first["Namespace"], first["Dimensions"]) == (
                "QuantLlm",
                [{"Name": "EndpointName", "Value": name}],
            )
        assert all(alarm["Dimensions"] == dimensions for alarm in mine.values())
        assert (mine["errors"]["Threshold"], mine["errors"]["DatapointsToAlarm"]) == (0.05, 3)
        assert (mine["latency"]["Threshold"], mine["latency"]["ExtendedStatistic"]) == (45e6, "p90")
        assert mine["capacity"]["Threshold"] == model.concurrency
        # A sum over the instance's GPUs, or a copy's share of them.
        assert mine["gpu-memory"]["Threshold"] == (99 if model.is_component else 4 * 99)

    (topic,) = {action for alarm in found.values() for action in alarm["AlarmActions"]}
    sns = account.client("sns")
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ml-oncall@health.example")
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["KmsMasterKeyId"].startswith("arn:aws:kms:us-east-1:123456789012:key/")
    effects = [statement["Effect"] for statement in json.loads(attributes["Policy"])["Statement"]]
    assert effects == ["Deny", "Allow"]

    body = account.client("cloudwatch").get_dashboard(DashboardName="QuantLlmStack-health")["DashboardBody"]
    assert set(json.loads(body)["widgets"][0]["properties"]["alarms"]) == {
        alarm["AlarmArn"] for alarm in found.values()
    }

    (budget,) = budgets(account)
    assert agency.budget is not None
    assert float(budget["BudgetLimit"]["Amount"]) == agency.budget.monthly_usd
    assert budget["CostFilters"] == {"TagKeyValue": ["user:agency$health"]}
    told = list(agency.budget.notify)
    assert notices(account, budget["BudgetName"]) == [
        ("ACTUAL", 50, told),
        ("ACTUAL", 80, told),
        ("ACTUAL", 100, told),
        ("FORECASTED", 100, told),
    ]

    other = changed(
        budget={"monthly_usd": 100, "notify": ["a@b.example", "c@d.example"]},
        alarms={"notify": ["e@f.example"], "p90_latency_seconds": 5, "p90_first_token_seconds": 2},
    )
    stack = account.deploy(STACK, resources(other))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", account.events(STACK)
    (budget,) = budgets(account)  # the old one is gone
    assert float(budget["BudgetLimit"]["Amount"]) == 100
    assert [who for _, _, who in notices(account, budget["BudgetName"])] == [
        ["a@b.example", "c@d.example"]
    ] * 4
    assert alarms(account)["health-mistral-7b-latency"]["Threshold"] == 5e6
    assert alarms(account)["health-mistral-7b-first-token"]["Threshold"] == 2000
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert subscription["Endpoint"] == "e@f.example"

    stack = account.deploy(STACK, resources(changed(budget=None)))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", account.events(STACK)
    assert budgets(account) == []
    assert account.destroy(STACK) == "DELETE_COMPLETE"
    assert alarms(account) == {}
    assert sns.list_topics()["Topics"] == []
    assert account.client("cloudwatch").list_dashboards()["DashboardEntries"] == []


def test_a_part_of_a_budget_that_is_not_known_fails_the_stack(account: Account) -> None:
    budget = {"BudgetType": "COST", "TimeUnit": "MONTHLY", "Colour": "blue"}
    account.deploy("odd", {"Budget": {"Type": "AWS::Budgets::Budget", "Properties": {"Budget": budget}}})
    reason = account.reason("odd", "Budget", "CREATE_FAILED")
    assert reason == "the embedded AWS does not apply the property AWS::Budgets::Budget Budget.Colour"


def test_subscribers_of_a_notice_that_is_not_there(account: Account) -> None:
    client = account.client("budgets")
    notice = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 1}
    with pytest.raises(client.exceptions.NotFoundException):
        client.describe_subscribers_for_notification(
            AccountId="123456789012", BudgetName="nobody's", Notification=notice
        )
