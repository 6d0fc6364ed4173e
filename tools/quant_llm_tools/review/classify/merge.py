"""The same change in many stacks becomes one, with the list of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import replace

from quant_llm_tools.review.model import Change

_MANY = 3
"""Models of other names with the same change, above which they share a line."""


def merged(changes: Iterable[Change], models: Collection[str]) -> tuple[Change, ...]:
    """One change for all stacks in which it is the same, the most severe first.

    `models` are the names of models, the first part of their resources' paths.
    """
    by_pattern: dict[tuple[str, str], dict[str, list[Change]]] = {}
    for change in changes:
        first, slash, rest = change.resource.partition("/")
        pattern = f"*/{rest}" if slash and first in models else change.resource
        by_pattern.setdefault((pattern, _content(change)), {}).setdefault(change.resource, []).append(change)
    found: list[Change] = []
    for (pattern, _), by_resource in by_pattern.items():
        if len(by_resource) > _MANY:
            found.append(_one(pattern, [one for same in by_resource.values() for one in same]))
        else:
            found += [_one(resource, same) for resource, same in by_resource.items()]
    return tuple(
        sorted(found, key=lambda one: (one.change_class.severity, one.stacks, one.resource, one.summary))
    )


def _one(resource: str, same: list[Change]) -> Change:
    stacks = sorted({stack for change in same for stack in change.stacks})
    return replace(same[0], resource=resource, stacks=tuple(stacks))


def _content(change: Change) -> str:
    """All of a change but where it is."""
    return json.dumps(
        [change.change_class, change.summary, change.why, change.effect, change.before, change.after],
        sort_keys=True,
        default=str,
    )
