"""What a review is made of: changes by risk class, cost and fit of each agency, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

_Side = TypeVar("_Side")


class ChangeClass(StrEnum):
    """The risk classes, most severe first."""

    REFUSED = "refused"
    """Head doesn't synthesise: nothing of it can be deployed."""
    ENDPOINT_REPLACED = "endpoint-replaced"
    STATEFUL_REMOVED = "stateful-removed"
    PERMISSIONS_BROADENED = "permissions-broadened"
    PROTECTION_WEAKENED = "protection-weakened"
    WEIGHTS_CHANGED = "weights-changed"
    IMAGE_CHANGED = "image-changed"
    INSTANCE_CHANGED = "instance-changed"
    SCALING_CHANGED = "scaling-changed"
    ENDPOINT_ROLLS = "endpoint-rolls"
    OPERATIONS_CHANGED = "operations-changed"
    ENDPOINT_ADDED = "endpoint-added"
    """A model that is new to an agency which has a stack already."""
    STACK_ADDED = "stack-added"
    STACK_REMOVED = "stack-removed"
    NO_EFFECT = "no-effect"

    @property
    def severity(self) -> int:
        """0 for the most severe."""
        return list(ChangeClass).index(self)


@dataclass(frozen=True)
class Change:
    """One change, the same in each of `stacks`.

    `resource` is the construct path below the stack, such as `mistral-7b/Endpoint/Resource`, the same in all
    of them; `*/Endpoint/Resource` where it is the same for many models of other names. `summary` says what
    changes, `why` why it matters, `effect` what happens at deploy, each one sentence of plain text. `before`
    and `after` are plain JSON values, None where there is none.
    """

    change_class: ChangeClass
    stacks: tuple[str, ...]
    resource: str
    summary: str
    why: str
    effect: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class MonthlyCost:
    """US dollars a month of an agency's instances; None where a price is unknown, and `unknown` says why.

    `scheduled` is at the least number of instances, as the schedules change it over a year. `estimated`: some
    price is an estimate.
    """

    at_min: float | None
    scheduled: float | None
    at_max: float | None
    budget: float | None = None
    estimated: bool = False
    unknown: str = ""


@dataclass(frozen=True)
class Fit:
    """GPU memory of one model on its instance type, in MiB of the GPU that holds most.

    None where that is not known, and `unknown` says why.
    """

    instance_type: str
    needed_mib: float | None
    available_mib: float | None
    unknown: str = ""


@dataclass(frozen=True)
class BeforeAfter(Generic[_Side]):
    """The two sides of something; None on the side that doesn't have it."""

    before: _Side | None
    after: _Side | None


@dataclass(frozen=True)
class Drift:
    """A resource of a live stack that somebody changed outside of CloudFormation.

    `differences` are property paths with what the template says and what is there.
    """

    stack: str
    resource: str
    status: str
    differences: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Review:
    """The whole review. Costs are by agency, fits by endpoint name.

    `drift` is None unless live stacks are the base. `notes` are sentences on what could not be compared.
    """

    changes: tuple[Change, ...]
    cost: Mapping[str, BeforeAfter[MonthlyCost]] = field(default_factory=dict)
    fit: Mapping[str, BeforeAfter[Fit]] = field(default_factory=dict)
    drift: tuple[Drift, ...] | None = None
    notes: tuple[str, ...] = ()
