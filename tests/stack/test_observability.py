"""Alarms, their topic, the dashboard and the budget: there when the file asks for them, and only then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from quant_llm import thresholds
from quant_llm.agency import (
    DEFAULT_IDLE_MINUTES,
    DEFAULT_P90_FIRST_TOKEN_SECONDS,
    DEFAULT_P90_LATENCY_SECONDS,
    ENGINES_WITH_REQUEST_METRICS,
    load_agency,
)
from quant_llm.budget import ACTUAL_PERCENT, FORECAST_PERCENT
from quant_llm.engines import BUILDS
from quant_llm.paths import ROOT
from quant_llm.production_variant import LEAST_ROOM
from quant_llm.request_metrics import request_metrics
from quant_llm_serving.embedded_metrics import UNITS
from tests.stack.conftest import health_file, template_of

REQUESTS = [{"Name": "EndpointName", "Value": "health-mistral-7b"}]
ENDPOINT = [
    {"Name": "EndpointName", "Value": "health-mistral-7b"},
    {"Name": "VariantName", "Value": "AllTraffic"},
]


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """The alarms that people hear of, by name."""
    found = [alarm["Properties"] for alarm in template.find_resources("AWS::CloudWatch::Alarm").values()]
    return {alarm["AlarmName"]: alarm for alarm in found if "AlarmActions" in alarm}


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def test_a_file_that_asks_for_nothing_gets_nothing(default_template: Template) -> None:
    for kind in ("SNS::Topic", "SNS::Subscription", "CloudWatch::Dashboard", "Budgets::Budget"):
        default_template.resource_count_is(f"AWS::{kind}", 0)
    assert alarms(default_template) == {}


def test_a_budget_alone_brings_no_alarms(tmp_path: Path) -> None:
    template = template_of(health_file(tmp_path, ("alarms: {notify: [ml-oncall@health.example]}\n", "")))
    template.resource_count_is("AWS::Budgets::Budget", 1)
    template.resource_count_is("AWS::SNS::Topic", 0)
    template.resource_count_is("AWS::CloudWatch::Dashboard", 0)
    assert alarms(template) == {}


def test_every_endpoint_has_its_alarms(health_template: Template) -> None:
    assert set(alarms(health_template)) == {
        f"health-mistral-7b-{name}" for name in ("errors", "latency", "first-token", "capacity", "gpu-memory")
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "errors",
            {
                "Namespace": "AWS/SageMaker",
                "MetricName": "Invocation5XXErrors",
                "Statistic": "Average",  # of ones and zeros: a share
                "Period": 60,
                "Threshold": 0.05,
                "DatapointsToAlarm": 3,
                "EvaluationPeriods": 5,
            },
        ),
        (
            "latency",
            {
                "Namespace": "AWS/SageMaker",
                "MetricName": "ModelLatency",
                "ExtendedStatistic": "p90",
                "Period": 300,
                "Threshold": 45_000_000,  # microseconds
                "EvaluationPeriods": 3,
            },
        ),
        (
            "capacity",
            {
                "Namespace": "AWS/SageMaker",
                "MetricName": "ConcurrentRequestsPerModel",
                "Statistic": "Minimum",
                "Period": 60,
                "Threshold": 8,  # the file's concurrency
                "EvaluationPeriods": 15,
                "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            },
        ),
        (
            "gpu-memory",
            {
                "Namespace": "/aws/sagemaker/Endpoints",
                "MetricName": "GPUMemoryUtilization",
                "Statistic": "Maximum",
                "Period": 300,
                "Threshold": 99,
                "EvaluationPeriods": 3,
            },
        ),
    ],
)
def test_alarm_watches_this_metric(health_template: Template, name: str, expected: dict[str, Any]) -> None:
    alarm = alarms(health_template)[f"health-mistral-7b-{name}"]
    assert alarm["Dimensions"] == ENDPOINT
    assert {field: alarm[field] for field in expected} == expected


def test_alarm_of_the_first_token_reads_what_the_containers_log_makes(health_template: Template) -> None:
    alarm = alarms(health_template)["health-mistral-7b-first-token"]
    expected = {
        "Namespace": "QuantLlm",
        "MetricName": "first_token_milliseconds",
        "Dimensions": REQUESTS,
        "ExtendedStatistic": "p90",
        "Period": 300,
        "Threshold": 10_000,
        "DatapointsToAlarm": 3,
        "EvaluationPeriods": 4,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    assert {field: alarm[field] for field in expected} == expected
    assert alarm["MetricName"] in UNITS
    assert told(health_template)["ENDPOINT_NAME"] == "health-mistral-7b"


def told(template: Template) -> dict[str, str]:
    """What the one model's container is told."""
    environment: dict[str, str] = only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    return environment


def test_agency_chooses_when_an_answer_must_begin(tmp_path: Path) -> None:
    path = health_file(
        tmp_path, ("health.example]}\nmodels", "health.example], p90_first_token_seconds: 2.5}\nmodels")
    )
    assert alarms(template_of(path))["health-mistral-7b-first-token"]["Threshold"] == 2500


def test_without_alarms_no_metrics_are_made_of_the_log(default_template: Template) -> None:
    assert "ENDPOINT_NAME" not in told(default_template)


def test_alarms_that_come_or_go_are_a_new_version_for_the_watch(tmp_path: Path) -> None:
    versions = set()
    for changes in ((), (("alarms: {notify: [ml-oncall@health.example]}\n", ""),)):
        template = template_of(health_file(tmp_path, *changes))
        conditions = template.find_resources("AWS::CloudFormation::WaitCondition")
        versions |= {logical_id for logical_id in conditions if "Watch" in logical_id}
    assert len(versions) == 2  # the container is told something else, so the endpoint moves


def test_an_asynchronous_answer_has_no_alarm_of_its_first_token(tmp_path: Path) -> None:
    path = health_file(tmp_path, ("    concurrency: 8\n", "    concurrency: 8\n    mode: async\n"))
    template = template_of(path)
    assert "health-mistral-7b-first-token" not in alarms(template)
    assert "ENDPOINT_NAME" in told(template)  # its tokens are on the dashboard


def test_awss_containers_have_neither_alarm_nor_graphs_of_tokens(tmp_path: Path) -> None:
    agency = load_agency(health_file(tmp_path))
    (model,) = agency.models
    others = agency.model_copy(
        update={"models": tuple(model.model_copy(update={"engine": engine}) for engine in ("vllm", "tgi"))}
    )
    assert [request_metrics(others, model) for model in others.models] == [None, None]
    assert {*BUILDS} == {*ENGINES_WITH_REQUEST_METRICS}


def test_alarm_of_gpu_memory_counts_the_gpus_of_the_type(tmp_path: Path) -> None:
    path = health_file(tmp_path, ("instance_type: auto ", "instance_type: ml.g5.12xlarge "))
    assert alarms(template_of(path))["health-mistral-7b-gpu-memory"]["Threshold"] == 4 * 99


def test_agency_chooses_its_latency(tmp_path: Path) -> None:
    path = health_file(
        tmp_path, ("health.example]}\nmodels", "health.example], p90_latency_seconds: 2.5}\nmodels")
    )
    template = template_of(path)
    thresholds = {
        alarm["Properties"]["Threshold"]
        for alarm in template.find_resources("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == "ModelLatency"
    }
    assert thresholds == {2_500_000}  # people and updates go by the same


def test_nobody_is_told_for_want_of_data(health_template: Template) -> None:
    for alarm in health_template.find_resources("AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["TreatMissingData"] == "notBreaching"
        assert "InsufficientDataActions" not in alarm["Properties"]


def test_topic_tells_the_addresses_of_the_file_of_both_ends(health_template: Template) -> None:
    (topic_id,) = health_template.find_resources("AWS::SNS::Topic")
    assert only(health_template, "AWS::SNS::Subscription") == {
        "Endpoint": "ml-oncall@health.example",
        "Protocol": "email",
        "TopicArn": {"Ref": topic_id},
    }
    for alarm in alarms(health_template).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic_id}]


def test_topic_is_under_a_key_that_cloudwatch_can_use_and_that_is_not_the_weights(
    health_template: Template,
) -> None:
    topic_key = only(health_template, "AWS::SNS::Topic")["KmsMasterKeyId"]["Fn::GetAtt"][0]
    bucket = only(health_template, "AWS::S3::Bucket")["BucketEncryption"]
    assert topic_key not in json.dumps(bucket)
    policy = health_template.find_resources("AWS::KMS::Key")[topic_key]["Properties"]["KeyPolicy"]
    granted = [s for s in policy["Statement"] if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert [(s["Action"], s["Condition"]) for s in granted] == [
        (["kms:Decrypt", "kms:GenerateDataKey"], {"StringEquals": {"aws:SourceAccount": "210987654321"}})
    ]


def test_topic_takes_messages_from_the_accounts_alarms_over_tls_only(health_template: Template) -> None:
    statements = only(health_template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert [(s["Effect"], s["Action"], s["Principal"], s["Condition"]) for s in statements] == [
        ("Deny", "sns:Publish", "*", {"Bool": {"aws:SecureTransport": "false"}}),
        (
            "Allow",
            "sns:Publish",
            {"Service": "cloudwatch.amazonaws.com"},
            {"StringEquals": {"aws:SourceAccount": "210987654321"}},
        ),
    ]


def test_dashboard_shows_every_alarm_and_every_endpoint(health_template: Template) -> None:
    dashboard = only(health_template, "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == "QuantLlmStack-health"
    body = json.loads(
        "".join(part if isinstance(part, str) else "x" for part in dashboard["DashboardBody"]["Fn::Join"][1])
    )
    kinds = [widget["type"] for widget in body["widgets"]]
    assert kinds == ["alarm", "text", *["metric"] * 7]
    assert len(body["widgets"][0]["properties"]["alarms"]) == 5
    named = {metric[1] for widget in body["widgets"][6:] for metric in widget["properties"]["metrics"]}
    assert named == {*UNITS}  # what is paid for is shown
    assert body["widgets"][1]["properties"]["markdown"] == "## health-mistral-7b"


def test_budget_tells_at_half_at_80_at_100_per_cent_and_when_100_is_forecast(
    health_template: Template,
) -> None:
    properties = only(health_template, "AWS::Budgets::Budget")
    assert properties["Budget"] == {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 6000, "Unit": "USD"},
        "CostFilters": {"TagKeyValue": ["user:agency$health"]},
    }
    notices = properties["NotificationsWithSubscribers"]
    told = [(n["Notification"]["NotificationType"], n["Notification"]["Threshold"]) for n in notices]
    assert told == [("ACTUAL", 50), ("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)]
    for notice in notices:
        assert notice["Notification"]["ThresholdType"] == "PERCENTAGE"
        assert notice["Subscribers"] == [
            {"SubscriptionType": "EMAIL", "Address": "ml-platform@health.example"}
        ]


def test_budget_counts_the_tag_that_is_on_the_endpoint(health_template: Template) -> None:
    health_template.has_resource_properties(
        "AWS::SageMaker::Endpoint", {"Tags": Match.array_with([{"Key": "agency", "Value": "health"}])}
    )


def test_pages_for_people_say_the_numbers_of_the_alarms() -> None:
    pages = (ROOT / "docs" / page for page in ("operations.md", "scale.md"))
    text = " ".join(word for page in pages for word in page.read_text(encoding="utf-8").split())
    bad, of = thresholds.ERROR_MINUTES
    late, periods = thresholds.FIRST_TOKEN_PERIODS
    first_token = f"{DEFAULT_P90_FIRST_TOKEN_SECONDS:g}"
    latency = f"{DEFAULT_P90_LATENCY_SECONDS:g}"
    said = [
        f"more than {thresholds.ERROR_SHARE * 100:g} % of the answers are 5xx in {bad} of {of} minutes",
        f"the p90 is above {latency} s for {thresholds.ROLLBACK_LATENCY_MINUTES} minutes",
        f"`p90_latency_seconds` (default {latency}) for {thresholds.LATENCY_MINUTES} minutes",
        f"`p90_first_token_seconds` (default {first_token}) in {late} of {periods} periods",
        f"or more at a time for {thresholds.CAPACITY_MINUTES} minutes",
        f"used to {thresholds.GPU_MEMORY_PERCENT} % for {thresholds.GPU_MEMORY_MINUTES} minutes",
        f"New instances serve for {thresholds.BAKE_MINUTES} minutes under watch",
        f"calls find no instance for {thresholds.COLD_START_MINUTES} minutes",
        f"with half of the target or less, for {thresholds.QUIET_MINUTES} minutes",
        f"only where a min is 0; default {DEFAULT_IDLE_MINUTES}",
        f"may be {LEAST_ROOM}, or twice `max`",
        f"| {FORECAST_PERCENT} % forecast |",
        *(f"| {percent} % spent |" for percent in ACTUAL_PERCENT),
    ]
    assert [sentence for sentence in said if sentence not in text] == []
