"""What an agency file says of updates, alarms and budgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from quant_llm.agency import AgencyFileError, ScalingConfig, ScheduleConfig, load_agency
from quant_llm.agency.aws_names import REGIONS_WITHOUT_BUDGETS, regions


def rolling(path: Path) -> Path:
    """The good file with a rolling deployment."""
    path.write_text(
        path.read_text().replace("    environment: {L", "    deployment: rolling\n    environment: {L")
    )
    return path


def test_rolling_is_taken_where_two_instances_always_run(change: Callable[[str, str], Path]) -> None:
    (model,) = load_agency(rolling(change("      min: 1\n", "      min: 2\n"))).models
    assert (model.deployment, model.scaling.least) == ("rolling", 2)


def test_schedule_to_one_instance_refuses_rolling(change: Callable[[str, str], Path]) -> None:
    path = rolling(change("      min: 1\n", "      min: 2\n"))
    path.write_text(path.read_text().replace("min: 2, max: 4}", "min: 1, max: 4}"))
    with pytest.raises(AgencyFileError, match="at least 2 instances at all times, not 1"):
        load_agency(path)


def test_the_least_number_of_instances_is_that_of_any_hour() -> None:
    entry = ScheduleConfig(cron="0 8 ? * MON-FRI *", timezone="Asia/Singapore", min=1, max=4)
    assert ScalingConfig(min=2, max=4).least == 2
    assert ScalingConfig(min=2, max=4, schedule=(entry,)).least == 1


def test_a_budget_is_refused_where_cloudformation_has_none(write: Callable[..., Path]) -> None:
    path = write(
        "agency: moh\n"
        'environment: {account: "123456789012", region: us-gov-west-1}\n'
        "budget: {monthly_usd: 10, notify: [a@b.example]}\n"
        "models:\n"
        "  - {name: chat, source: {hub: a/b}, engine: llama.cpp, instance_type: ml.g4dn.xlarge,\n"
        "     context_length: 512, concurrency: 1}\n"
    )
    with pytest.raises(AgencyFileError) as caught:
        load_agency(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (3, "budget")
    assert "us-gov-west-1, whose CloudFormation has none" in str(problem)


def test_the_regions_without_budgets_are_those_of_the_resource_schemas() -> None:
    schemas = files("cfnlint") / "data" / "schemas" / "providers"
    without = {
        region
        for region in regions()
        if (schemas / f"{region}.json").is_file()
        and "AWS::Budgets::Budget" not in json.loads((schemas / f"{region}.json").read_text())
    }
    assert without == REGIONS_WITHOUT_BUDGETS
