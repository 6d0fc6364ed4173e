"""How an endpoint moves to a new configuration, in words and in minutes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_DEFAULT_DOWNLOAD_SECONDS: Final = 1200
_DEFAULT_STARTUP_SECONDS: Final = 600
"""What a variant without timeouts is taken to need at most; SageMaker publishes no defaults."""


@dataclass(frozen=True)
class Rollout:
    """`how` in words. Minutes are an estimate: the waits alone, and the waits with every start-up timeout.

    `limit_minutes` is when SageMaker gives up and takes the update back, None where the template doesn't say.
    """

    how: str
    least_minutes: int
    most_minutes: int
    limit_minutes: int | None

    @property
    def sentence(self) -> str:
        """What happens at deploy."""
        limit = f"; after {self.limit_minutes} it is taken back" if self.limit_minutes else ""
        return (
            f"{self.how}: about {self.least_minutes} to {self.most_minutes} minutes, "
            f"an estimate from its waits and timeouts{limit}."
        )


def rollout(deployment: Mapping[str, Any], variant: Mapping[str, Any]) -> Rollout:
    """From an endpoint's `DeploymentConfig` and the first of its production variants."""
    start = int(variant.get("ModelDataDownloadTimeoutInSeconds", _DEFAULT_DOWNLOAD_SECONDS))
    start += int(variant.get("ContainerStartupHealthCheckTimeoutInSeconds", _DEFAULT_STARTUP_SECONDS))
    rolling, blue_green = deployment.get("RollingUpdatePolicy"), deployment.get("BlueGreenUpdatePolicy")
    if rolling:
        size = rolling.get("MaximumBatchSize", {})
        steps = _steps(size)
        how = f"Rolling, {_share(size)} at a time"
        waits = steps * int(rolling.get("WaitIntervalInSeconds", 0))
        limit = rolling.get("MaximumExecutionTimeoutInSeconds")
    elif blue_green:
        routing = blue_green.get("TrafficRoutingConfiguration", {})
        kind = routing.get("Type", "ALL_AT_ONCE")
        steps = {"ALL_AT_ONCE": 1, "CANARY": 2}.get(kind) or _steps(routing.get("LinearStepSize", {}))
        how = f"Blue/green, {_traffic(kind, routing)}"
        waits = steps * int(routing.get("WaitIntervalInSeconds", 0))
        waits += int(blue_green.get("TerminationWaitInSeconds", 0))
        limit = blue_green.get("MaximumExecutionTimeoutInSeconds")
        steps = 1  # the new instances start together
    else:
        how, steps, waits, limit = "Blue/green, all traffic at once", 1, 0, None
    return Rollout(
        how=how,
        least_minutes=max(1, round(waits / 60)),
        most_minutes=math.ceil((waits + steps * start) / 60),
        limit_minutes=None if limit is None else round(int(limit) / 60),
    )


def _steps(size: Mapping[str, Any]) -> int:
    """How many batches there are; a number of instances is taken for half of them, the most there may be."""
    percent = size.get("Value", 50) if size.get("Type") == "CAPACITY_PERCENT" else 50
    return math.ceil(100 / int(percent))


def _share(size: Mapping[str, Any]) -> str:
    value = size.get("Value", 50)
    if size.get("Type") == "CAPACITY_PERCENT":
        return f"{value} % of the instances"
    return "one instance" if value == 1 else f"{value} instances"


def _traffic(kind: str, routing: Mapping[str, Any]) -> str:
    if kind == "CANARY":
        return f"{_share(routing.get('CanarySize', {}))} first, then the rest"
    if kind == "LINEAR":
        return f"{_share(routing.get('LinearStepSize', {}))} at a time"
    return "all traffic at once"
