"""SageMaker's bounds of an endpoint's deployment configuration, which clients don't check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.sagemaker.exceptions import ValidationError

Json = Any

_SHARES = {"MaximumBatchSize": (5, 50), "CanarySize": (1, 50), "LinearStepSize": (10, 50)}
"""Per cent of the variant's instances that a step may take, by the API reference."""


def check(configuration: Mapping[str, Json], instances: int) -> None:
    """Raise ValidationError for two policies, or a step that is too small or too large for the instances."""
    rolling, blue_green = (
        configuration.get(name) for name in ("RollingUpdatePolicy", "BlueGreenUpdatePolicy")
    )
    if rolling and blue_green:
        raise ValidationError("Only one of RollingUpdatePolicy and BlueGreenUpdatePolicy can be specified.")
    steps: Mapping[str, Json] = rolling or (blue_green or {}).get("TrafficRoutingConfiguration", {})
    for name, (lowest, highest) in _SHARES.items():
        if name not in steps:
            continue
        size, kind = steps[name]["Value"], steps[name]["Type"]
        share = size if kind == "CAPACITY_PERCENT" else 100 * size / instances
        if not lowest <= share <= highest:
            raise ValidationError(
                f"{name} must be between {lowest}% and {highest}% of the variant's {instances} instances, "
                f"got {kind} {size}"
            )
