"""An endpoint as DescribeEndpoint shows it, and what that means for a change of it that is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

DETAIL_TYPE = "SageMaker Endpoint State Change"
"""EventBridge's name of the event that tells of an endpoint's change."""

IN_FLIGHT = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
BROKEN = frozenset({"Failed", "UpdateRollbackFailed"})

CLOCKS_SECONDS = 60.0
"""What the clocks of two services, or two things that begin together, may be apart."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The fields of DescribeEndpoint that matter here; times are in seconds since 1970.

    `configuration` is what serves or is being created, `pending` what an update moves to, `began` when the
    present change began. An inference component is the same to a watch: what it serves is a model.
    """

    name: str
    status: str
    configuration: str
    pending: str | None
    began: float
    modified: float
    failure_reason: str

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Endpoint:
        """Read the answer of DescribeEndpoint."""
        pending = description.get("PendingDeploymentSummary", {})
        status = description["EndpointStatus"]
        modified = _seconds(description["LastModifiedTime"])
        if status in ("Creating", "Failed"):
            began = _seconds(description["CreationTime"])
        else:
            # A change of the instance count alone has no pending deployment.
            began = _seconds(pending["StartTime"]) if "StartTime" in pending else modified
        return cls(
            name=description["EndpointName"],
            status=status,
            configuration=description["EndpointConfigName"],
            pending=pending.get("EndpointConfigName"),
            began=began,
            modified=modified,
            failure_reason=description.get("FailureReason", ""),
        )

    @classmethod
    def from_component(cls, description: Mapping[str, Any]) -> Endpoint:
        """Read the answer of DescribeInferenceComponent, which does not say what an update moves to."""
        status = description["InferenceComponentStatus"]
        created, modified = (_seconds(description[name]) for name in ("CreationTime", "LastModifiedTime"))
        return cls(
            name=description["InferenceComponentName"],
            status=status,
            configuration=description["Specification"]["ModelName"],
            pending=None,
            began=created if status in ("Creating", "Failed") else modified,
            modified=modified,
            failure_reason=description.get("FailureReason", ""),
        )

    @property
    def in_flight(self) -> bool:
        """Whether SageMaker is at work on it, and refuses to delete or change it."""
        return self.status in IN_FLIGHT

    @property
    def target(self) -> str | None:
        """The configuration that the present change moves to; None when it changes none."""
        return self.configuration if self.status in ("Creating", "Failed") else self.pending


class Change(StrEnum):
    """How a change of an endpoint stands."""

    UNDER_WAY = "under way"
    SERVING = "serving"
    BROKEN = "broken"
    TAKEN_BACK = "taken back"


def stands(endpoint: Endpoint | None, *, target: str | None, seen: bool, since: float) -> Change:
    """How the change to the configuration `target` stands; None: a change that keeps the configuration.

    `seen` is whether the change was seen under way: before that an endpoint that serves something else has
    not been told yet. It counts as told, too, when it failed after `since`.
    """
    if endpoint is None or endpoint.in_flight:
        return Change.UNDER_WAY
    if endpoint.status in BROKEN:
        return Change.BROKEN
    if target is None or endpoint.configuration == target:
        return Change.SERVING
    failed_since = bool(endpoint.failure_reason) and endpoint.modified >= since - CLOCKS_SECONDS
    return Change.TAKEN_BACK if seen or failed_since else Change.UNDER_WAY


def log_group(name: str, *, component: bool = False) -> str:
    """Where SageMaker keeps what the containers of an endpoint, or of an inference component, write."""
    return f"/aws/sagemaker/{'InferenceComponents' if component else 'Endpoints'}/{name}"


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
