"""One watch over one change of an endpoint: what is carried from look to look, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from quant_llm_watchdog.causes import usual_causes
from quant_llm_watchdog.endpoint import BROKEN, Change, Endpoint, log_group, stands
from quant_llm_watchdog.words import LastWords

NOT_BEGUN_SECONDS = 900.0
"""After that the change is none of ours: the stack's own resource says what became of it."""

LONGEST_SECONDS = 11 * 3600.0
"""Sooner than the twelve hours of the stack's wait condition; SageMaker gives an update eight."""

SLACK_SECONDS = 1800.0
"""On top of an endpoint's own timeouts: instances and images take minutes, scarce types longer."""

RESTARTS = 2
"""Ends of a container for the same reason after which another start will not mend it."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is watched since when, in seconds since 1970, and whether the change was seen under way.

    `target` is the configuration that is to serve, "" for a change that keeps it; of an inference
    component it is the model. `wait_handle` is the URL of the stack that waits for the end; with "" people
    are told.
    """

    endpoint: str
    target: str
    since: float
    wait_handle: str = ""
    seen: bool = False
    component: bool = False

    @classmethod
    def from_input(cls, state: Mapping[str, Any]) -> Watch:
        """Read what `to_input` wrote."""
        return cls(**state)

    def to_input(self) -> dict[str, Any]:
        """As JSON, for the state machine."""
        return asdict(self)

    def after(self, endpoint: Endpoint | None) -> Watch:
        """The watch with what this look has shown."""
        under_way = endpoint is not None and endpoint.in_flight and endpoint.target == self.target
        return replace(self, seen=True) if under_way else self

    def change(self, endpoint: Endpoint | None) -> Change:
        """How the change stands."""
        return stands(endpoint, target=self.target or None, seen=self.seen, since=self.since)

    def is_over(self, endpoint: Endpoint) -> bool:
        """Whether another change has begun since the last look: that one has a watch of its own."""
        # Of a change of the instance count alone it is not said when it began.
        changes = endpoint.target is not None and (endpoint.in_flight or endpoint.status in BROKEN)
        return changes and endpoint.began > self.since + 1

    @property
    def log_group(self) -> str:
        """Where the containers write."""
        return log_group(self.endpoint, component=self.component)

    def pause(self, now: float) -> int:
        """Seconds until the next look: a twentieth of the time so far, within bounds.

        For a stack at most 5 s at first, because CloudFormation looks too and knows no reasons.
        """
        passed = now - self.since
        if self.wait_handle:
            least, most = 1.0, 5.0 if passed < 3600 else 30.0
        else:
            least, most = 10.0, 60.0
        return round(min(most, max(least, passed / 20)))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """An endpoint's instance type and its timeouts in seconds, as the stack has set them."""

    instance_type: str
    start_seconds: int
    update_seconds: int

    def overdue(self, endpoint: Endpoint, now: float) -> bool:
        """Whether a change takes longer than its own timeouts and the slack.

        An update has a time limit of its own, at which SageMaker takes it back.
        """
        own = self.update_seconds if endpoint.pending else self.start_seconds
        return endpoint.in_flight and now - endpoint.began > own + SLACK_SECONDS


def failure_sentence(endpoint: Endpoint, change: Change, words: LastWords) -> str:
    """Why a deploy failed, for the stack's event: the container's own words, then SageMaker's."""
    ended = "was taken back by SageMaker" if change is Change.TAKEN_BACK else f"is {endpoint.status}"
    causes = "; ".join(cause.advice for cause in usual_causes(endpoint.failure_reason, words)[:2])
    parts = [f"{words.told}. The endpoint {endpoint.name} {ended}"]
    if endpoint.failure_reason:
        parts.append(f"SageMaker says: {endpoint.failure_reason}")
    if causes:
        parts.append(f"Usually: {causes}")
    return ". ".join(parts)
