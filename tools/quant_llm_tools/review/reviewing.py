"""A whole review: both sides, their changes, cost and fit, and what the gate says of them."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from quant_llm.agency import AgencyFileError
from quant_llm_tools.review.agencies import AgencySide, read_side
from quant_llm_tools.review.approvals import marked_new, read_approvals
from quant_llm_tools.review.checkout import checked_out, commit_of, repository_root
from quant_llm_tools.review.compare import compare
from quant_llm_tools.review.cost import costs
from quant_llm_tools.review.deployed import read_deployed
from quant_llm_tools.review.fit import fits
from quant_llm_tools.review.gate import judge
from quant_llm_tools.review.model import ChangeClass, Review
from quant_llm_tools.review.sides import WORKING_TREE, Side, synthesise_checkouts, synthesised
from quant_llm_tools.review.verdict import Approval, Verdict

Progress = Callable[[str], None]

_LIVE: Final = "a live stack does not hold the agency file that it was made from"


def review_changes(
    repository: Path,
    base: str,
    head: str | None,
    fail_on: Collection[ChangeClass],
    progress: Progress,
) -> tuple[Review, Verdict]:
    """Review head, a ref or the working tree, against base; QuantLlmError for what can't be reviewed."""
    with synthesised(repository, base, head, progress=progress) as (before, after):
        review = reviewed(before, after)
        approvals = marked_new(_approvals(after), _known_approvals(before))
    return review, judge(review.changes, fail_on, approvals, _today())


def reviewed(before: Side, after: Side) -> Review:
    """The review of two sides, of which the base may be live templates, without a checkout."""
    new = {} if after.directory is None else read_side(after.directory)
    old = _live_agencies(before, new) if before.directory is None else read_side(before.directory)
    notes = []
    if before.refusal is not None:
        reason = before.refusal.partition("\n")[0]
        notes.append(f"base itself does not synthesise, so there is nothing to compare with: {reason}")
    return Review(
        changes=compare(before, after),
        cost=costs(old, new, year=_today().year),
        fit=fits(old, new),
        notes=tuple(notes),
    )


def _live_agencies(live: Side, agencies: Mapping[str, AgencySide]) -> dict[str, AgencySide]:
    """Agencies of which the cost is not known, those that have a stack already."""
    return {
        name: AgencySide(None, unreadable=_LIVE)
        for name, side in agencies.items()
        if side.config is not None and side.config.stack_name in live.templates
    }


def review_deployed(
    repository: Path, head: str | None, fail_on: Collection[ChangeClass], progress: Progress
) -> tuple[Review, Verdict]:
    """Review head against what is live of its stacks; QuantLlmError for what can't be reviewed."""
    with _synthesised_alone(repository, head, progress) as after:
        progress(f"reading {len(after.environments)} live stacks")
        live = read_deployed(after.environments)
        seen = {name: template for name, template in after.templates.items() if name not in live.unseen}
        review = reviewed(Side(name="deployed", templates=live.templates), replace(after, templates=seen))
        approvals = _approvals(after)
    review = replace(review, drift=live.drift, notes=(*review.notes, *live.notes))
    return review, judge(review.changes, fail_on, approvals, _today())


@contextmanager
def _synthesised_alone(repository: Path, head: str | None, progress: Progress) -> Iterator[Side]:
    root = repository_root(repository)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantllm-review-")))
        checkout, name = root, WORKING_TREE
        if head is not None:
            checkout, name = (
                stack.enter_context(checked_out(root, commit_of(root, head), scratch / "head")),
                head,
            )
        progress(f"synthesising {name}")
        (side,) = synthesise_checkouts([(name, checkout)], scratch)
        yield side


def _approvals(side: Side) -> list[Approval]:
    return [] if side.directory is None else read_approvals(side.directory)


def _known_approvals(side: Side) -> list[Approval]:
    """Those of base; a file that is wrong there has none, and is no hindrance to mending it."""
    try:
        return _approvals(side)
    except AgencyFileError:
        return []


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
