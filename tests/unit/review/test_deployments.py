"""How an endpoint moves, and how long that takes by its own waits and timeouts."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_tools.review.classify.deployments import rollout

# Starting takes at most 10 minutes.
VARIANT = {
    "ModelDataDownloadTimeoutInSeconds": 360,
    "ContainerStartupHealthCheckTimeoutInSeconds": 240,
}


def rolling(kind: str, value: int) -> dict[str, Any]:
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": kind, "Value": value},
            "WaitIntervalInSeconds": 600,
            "MaximumExecutionTimeoutInSeconds": 7200,
        }
    }


def blue_green(**routing: Any) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"WaitIntervalInSeconds": 600, **routing},
            "TerminationWaitInSeconds": 300,
        }
    }


@pytest.mark.parametrize(
    ("deployment", "how", "least", "most"),
    [
        (rolling("CAPACITY_PERCENT", 50), "Rolling, 50 % of the instances at a time", 20, 40),
        (rolling("CAPACITY_PERCENT", 30), "Rolling, 30 % of the instances at a time", 40, 80),
        (rolling("INSTANCE_COUNT", 1), "Rolling, one instance at a time", 20, 40),
        (blue_green(Type="ALL_AT_ONCE"), "Blue/green, all traffic at once", 15, 25),
        (
            blue_green(Type="CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}),
            "Blue/green, one instance first, then the rest",
            25,
            35,
        ),
        (
            blue_green(Type="LINEAR", LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 25}),
            "Blue/green, 25 % of the instances at a time",
            45,
            55,
        ),
        ({}, "Blue/green, all traffic at once", 1, 10),
    ],
)
def test_minutes_go_from_the_waits_alone_to_the_waits_and_every_start(
    deployment: dict[str, Any], how: str, least: int, most: int
) -> None:
    found = rollout(deployment, VARIANT)
    assert (found.how, found.least_minutes, found.most_minutes) == (how, least, most)


def test_the_sentence_says_that_it_is_an_estimate_and_when_it_is_taken_back() -> None:
    assert rollout(rolling("CAPACITY_PERCENT", 50), VARIANT).sentence == (
        "Rolling, 50 % of the instances at a time: about 20 to 40 minutes, an estimate from its waits and "
        "timeouts; after 120 it is taken back."
    )
    assert "taken back" not in rollout({}, VARIANT).sentence
