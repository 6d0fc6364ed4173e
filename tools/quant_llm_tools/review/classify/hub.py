"""`protection-weakened`: the hub's token goes to another host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.weights import ARTIFACT
from quant_llm_tools.review.model import Change, ChangeClass

_FUNCTION: Final = "AWS::Lambda::Function"
_ENDPOINT: Final = "HF_ENDPOINT"
_TOKEN: Final = "TokenSecretArn"  # noqa: S105 - the name of a property


def hub(comparison: Comparison) -> Iterator[Change]:
    """A mirror, or another one, where an artifact is read with a token: bytes are verified, hosts are not."""
    if not any(_TOKEN in comparison.after.properties(one) for one in comparison.after.of_type(ARTIFACT)):
        return
    for logical_id in comparison.kept(_FUNCTION):
        old, new = (_endpoint(side, logical_id) for side in (comparison.before, comparison.after))
        if new is not None and new != old:
            yield comparison.change(
                ChangeClass.PROTECTION_WEAKENED,
                comparison.path(logical_id),
                "the hub's token is sent to another host",
                why="Whoever runs that host can read with the token what the agency can.",
                effect="From the next repack on.",
                before=old,
                after=new,
            )


def _endpoint(side: StackSide, logical_id: str) -> Any:
    environment = side.properties(logical_id).get("Environment", {})
    return environment.get("Variables", {}).get(_ENDPOINT)
