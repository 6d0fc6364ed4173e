"""What the gate says of a review. No dependencies here: the job that posts a review has none."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import IntEnum

from quant_llm_tools.review.model import Change, ChangeClass


class Exit(IntEnum):
    """What `quantllm review` ends with; 1 is an error that the user can mend and 2 wrong usage, as always."""

    PASSED = 0
    BLOCKED = 3
    """A change of a class that --fail-on names, and no approval lets it through."""
    REFUSED = 4
    """Head doesn't synthesise."""


@dataclass(frozen=True)
class Approval:
    """One class of change that named paths may have; `place` is `file:line` of it.

    A path is `<stack>/<construct path>`. `expires` is the last day that it holds; None: it holds on. `new`:
    it is not in base's file, so this very change brings it.
    """

    change_class: ChangeClass
    paths: tuple[str, ...]
    reason: str
    expires: datetime.date | None
    place: str
    new: bool = False

    def holds_on(self, day: datetime.date) -> bool:
        """Whether it has not expired yet."""
        return self.expires is None or day <= self.expires


@dataclass(frozen=True)
class Judged:
    """A change and what the gate says of it: that it blocks, or the approvals that let it through."""

    change: Change
    blocks: bool = False
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The judged changes, in the review's order, and the exit code.

    `stale` says which approvals do nothing: they have expired, or name no change of this review.
    """

    judged: tuple[Judged, ...]
    exit: Exit
    stale: tuple[str, ...] = ()
