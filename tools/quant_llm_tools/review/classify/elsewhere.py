"""Resources that a stack brings in a template of its own, which is not among those compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.model import Change, ChangeClass

_TYPES: Final = ("AWS::CloudFormation::Stack", "AWS::CloudFormation::StackSet")


def elsewhere(comparison: Comparison) -> Iterator[Change]:
    """Nested stacks that are new or differ."""
    for logical_id in comparison.after.of_type(*_TYPES):
        if comparison.before.properties(logical_id) != comparison.after.properties(logical_id):
            comparison.explain(logical_id)
            yield _told(comparison.stack, comparison.after, logical_id)


def all_elsewhere(stack: str, side: StackSide) -> Iterator[Change]:
    """Every nested stack of a stack that is new as a whole."""
    for logical_id in side.of_type(*_TYPES):
        yield _told(stack, side, logical_id)


def _told(stack: str, side: StackSide, logical_id: str) -> Change:
    return Change(
        ChangeClass.PERMISSIONS_BROADENED,
        (stack,),
        side.paths[logical_id],
        "a nested stack, whose resources this review does not read",
        "What its template holds may be anything that the deploy's credentials allow.",
        "Deployed with the stack.",
    )
