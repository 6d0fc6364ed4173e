"""Whether a review passes: the classes that must not pass unseen, and the approvals that let some through."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence

from quant_llm.agency.problems import nearest
from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.approvals import paths_of
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.verdict import Approval, Exit, Judged, Verdict


def parse_classes(values: Iterable[str]) -> frozenset[ChangeClass]:
    """The classes of `--fail-on`, which may hold several with commas; QuantLlmError for an unknown one."""
    names = [str(one) for one in ChangeClass]
    found = set()
    for name in filter(None, (part.strip() for value in values for part in value.split(","))):
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {near!r}?" if near else ""
            raise QuantLlmError(f"--fail-on: got {name!r}, expected one of {', '.join(names)}{hint}")
        found.add(ChangeClass(name))
    return frozenset(found)


def judge(
    changes: Sequence[Change],
    fail_on: Collection[ChangeClass],
    approvals: Sequence[Approval],
    today: datetime.date,
) -> Verdict:
    """Judge all changes. One change in many stacks needs an approval for each of them."""
    held = [approval for approval in approvals if approval.holds_on(today)]
    judged = tuple(_judge(change, fail_on, held) for change in changes)
    refused = any(change.change_class is ChangeClass.REFUSED for change in changes)
    blocked = any(one.blocks for one in judged)
    used = {approval.place for one in judged for approval in one.approvals}
    return Verdict(
        judged,
        Exit.REFUSED if refused else Exit.BLOCKED if blocked else Exit.PASSED,
        tuple(
            f"{approval.place}: this approval "
            + ("names no change of this review" if approval in held else f"has expired on {approval.expires}")
            for approval in approvals
            if approval.place not in used
        ),
    )


def _judge(change: Change, fail_on: Collection[ChangeClass], approvals: Sequence[Approval]) -> Judged:
    if change.change_class is ChangeClass.REFUSED:
        return Judged(change, blocks=True)
    if change.change_class not in fail_on:
        return Judged(change)
    paths = set(paths_of(change))
    fitting = [one for one in approvals if one.change_class is change.change_class and paths & set(one.paths)]
    missing = paths.difference(*(one.paths for one in fitting))
    return Judged(change, blocks=bool(missing) or not paths, approvals=() if missing else tuple(fitting))
