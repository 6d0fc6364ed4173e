"""`instance-changed`: other machines under an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quant_llm.catalogue import load_catalogue
from quant_llm_tools.review.classify.comparison import ENDPOINT_CONFIG, Comparison
from quant_llm_tools.review.model import Change, ChangeClass


def instances(comparison: Comparison) -> Iterator[Change]:
    """Another instance type, or another machine image on it, of each production variant."""
    for logical_id in comparison.kept(ENDPOINT_CONFIG):
        before = comparison.before.properties(logical_id).get("ProductionVariants", [])
        after = comparison.after.properties(logical_id).get("ProductionVariants", [])
        for old, new in zip(before, after, strict=False):
            yield from _changes(comparison, logical_id, old, new)


def _changes(
    comparison: Comparison, logical_id: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Change]:
    types = old.get("InstanceType"), new.get("InstanceType")
    images = old.get("InferenceAmiVersion"), new.get("InferenceAmiVersion")
    if types[0] != types[1]:
        yield comparison.change(
            ChangeClass.INSTANCE_CHANGED,
            comparison.path(logical_id),
            f"{_words(types[0])} becomes {_words(types[1])}",
            why="It decides the cost, the GPU memory that the model must fit, and the quota that is used.",
            effect="Instances of the new type start beside the old ones; both are billed meanwhile.",
            before=types[0],
            after=types[1],
        )
    elif images[0] != images[1]:
        yield comparison.change(
            ChangeClass.INSTANCE_CHANGED,
            comparison.path(logical_id),
            "another machine image on the same instance type",
            why="It brings the GPU driver, which decides the CUDA versions that run.",
            effect="New instances start with it beside the old ones.",
            before=images[0],
            after=images[1],
        )


def _words(instance_type: str | None) -> str:
    if instance_type is None:
        return "no instances of its own"
    found = load_catalogue().find(instance_type)
    return instance_type if found is None else f"{instance_type} ({found.gpus})"
