"""What changes between the two sides of a review, by risk class."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from quant_llm_tools.review.classify import (
    code,
    elsewhere,
    endpoints,
    hub,
    images,
    instances,
    noise,
    operations,
    permissions,
    protection,
    roles,
    scaling,
    stacks,
    stateful,
    toolkit,
    weights,
)
from quant_llm_tools.review.classify.comparison import Comparison, StackSide, agency_of
from quant_llm_tools.review.classify.likeness import Likes
from quant_llm_tools.review.classify.merge import merged
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.sides import Environment, Side
from quant_llm_tools.review.templates import effects

_CLASSES: Final[tuple[Callable[[Comparison], Iterator[Change]], ...]] = (
    endpoints.replaced,
    endpoints.added,
    stateful.stateful,
    protection.protection,
    roles.roles,
    elsewhere.elsewhere,
    hub.hub,
    weights.weights,
    images.images,
    instances.instances,
    scaling.scaling,
    endpoints.rolls,
    code.code,
)
_LAST: Final[tuple[Callable[[Comparison], Iterator[Change]], ...]] = (
    operations.tags,
    noise.without_effect,
    operations.unexplained,
)
"""What the others leave over."""


def compare(base: Side, head: Side) -> tuple[Change, ...]:
    """Every change from base to head, the most severe first, the same change in many stacks as one.

    A head that didn't synthesise is one change, `refused`. Against a base that didn't, every stack is new.
    """
    if head.refusal is not None:
        return (_refused(head.refusal),)
    after = {stack: _stack_side(head, stack) for stack in head.templates}
    before = {
        stack: _moved_to(_stack_side(base, stack), after[stack].environment)
        if stack in after
        else _stack_side(base, stack)
        for stack in base.templates
    }
    both = [stack for stack in after if stack in before]
    likes = Likes(before.items())
    found: list[Change] = list(toolkit.toolkit(base.directory, head.directory))
    for stack, side in after.items():
        if stack not in before:
            found.append(stacks.stack_added(stack, side))
            found += permissions.sweeping(stack, side)
            found += elsewhere.all_elsewhere(stack, side)
            found += protection.unlike_the_others(stack, side, before.values())
    found += [stacks.stack_removed(stack, side) for stack, side in before.items() if stack not in after]
    impacts = effects({stack: (before[stack].template, after[stack].template) for stack in both})
    for stack in both:
        comparison = Comparison(stack, before[stack], after[stack], impacts[stack])
        found += endpoints.moved(stack, base.environments.get(stack), head.environments.get(stack))
        for find in _CLASSES:
            found += find(comparison)
        found += permissions.permissions(comparison, likes)
        for find in _LAST:
            found += find(comparison)
    models = {model for side in (*before.values(), *after.values()) for model in side.endpoints}
    return merged(found, models)


def _stack_side(side: Side, stack: str) -> StackSide:
    return StackSide(
        template=side.templates[stack],
        environment=side.environments.get(stack),
        assembly=side.assembly,
        lock=_lock(side.directory, stack),
    )


def _moved_to(side: StackSide, environment: Environment | None) -> StackSide:
    """The same side in another account and region: that a stack moves is one change, not one of each ARN."""
    if environment is None or side.environment in (None, environment):
        return side
    text = json.dumps(side.template)
    for old, new in zip(side.environment, environment, strict=True):
        text = text.replace(old, new)
    return replace(side, template=json.loads(text), environment=environment)


def _lock(directory: Path | None, stack: str) -> str | None:
    if directory is None:
        return None
    path = directory / "agencies" / f"{agency_of(stack)}.lock.json"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _refused(refusal: str) -> Change:
    return Change(
        ChangeClass.REFUSED,
        (),
        endpoints.WHOLE_STACK,
        refusal,
        "Nothing of it can be deployed until this is mended, so nothing else was compared.",
        "`cdk deploy` ends with the same message, before it touches anything.",
    )
