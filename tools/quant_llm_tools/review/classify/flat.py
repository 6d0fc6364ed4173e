"""Nested properties as one level: the leaves by their path, with references as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm_tools.review.classify.comparison import StackSide
from quant_llm_tools.review.classify.words import text_of


def leaves(value: Any, side: StackSide, path: str = "") -> dict[str, Any]:
    """`{"A.B": 1, "C[0]": "x"}` of `{"A": {"B": 1}, "C": ["x"]}`; an intrinsic function is a leaf."""
    if isinstance(value, Mapping) and not _is_intrinsic(value):
        parts = {f"{path}.{key}" if path else str(key): item for key, item in value.items()}
    elif isinstance(value, list):
        parts = {f"{path}[{position}]": item for position, item in enumerate(value)}
    else:
        return {path: text_of(value, side) if isinstance(value, Mapping) else value}
    found: dict[str, Any] = {}
    for key, item in parts.items():
        found.update(leaves(item, side, key))
    return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of two flat tables is not the same in both."""
    return (
        {key: value for key, value in before.items() if key not in after or after[key] != value},
        {key: value for key, value in after.items() if key not in before or before[key] != value},
    )


def _is_intrinsic(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref"))
