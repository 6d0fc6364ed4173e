"""What SageMaker says no to in a deployment configuration."""

from __future__ import annotations

from typing import Any

import pytest
from moto.sagemaker.exceptions import ValidationError

from quant_llm_tools.local_aws.hosting_deployment import check


def rolling(kind: str, value: int) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": kind, "Value": value}}}


def canary(kind: str, value: int) -> dict[str, Any]:
    routing = {"Type": "CANARY", "CanarySize": {"Type": kind, "Value": value}}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


@pytest.mark.parametrize(
    ("configuration", "instances"),
    [
        (rolling("CAPACITY_PERCENT", 50), 2),
        (rolling("INSTANCE_COUNT", 1), 2),
        (rolling("INSTANCE_COUNT", 1), 20),
        (canary("INSTANCE_COUNT", 1), 2),
        ({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE"}}}, 1),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}, 1),
    ],
)
def test_steps_within_the_bounds_are_taken(configuration: dict[str, Any], instances: int) -> None:
    check(configuration, instances)


@pytest.mark.parametrize(
    ("configuration", "instances", "message"),
    [
        (rolling("INSTANCE_COUNT", 1), 1, "MaximumBatchSize must be between 5% and 50%"),
        (rolling("INSTANCE_COUNT", 1), 21, "MaximumBatchSize must be between 5% and 50%"),
        (rolling("CAPACITY_PERCENT", 51), 4, "got CAPACITY_PERCENT 51"),
        (canary("INSTANCE_COUNT", 1), 1, "CanarySize must be between 1% and 50%"),
        (rolling("CAPACITY_PERCENT", 50) | canary("CAPACITY_PERCENT", 50), 2, "Only one of"),
    ],
)
def test_steps_out_of_the_bounds_are_refused(
    configuration: dict[str, Any], instances: int, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        check(configuration, instances)
