"""`stack-added` and `stack-removed`: whole agencies that come or go."""

from __future__ import annotations

from collections.abc import Mapping

from quant_llm_tools.review.classify.comparison import ENDPOINT_CONFIG, StackSide
from quant_llm_tools.review.classify.endpoints import WHOLE_STACK
from quant_llm_tools.review.classify.weights import ARTIFACT, sources_of
from quant_llm_tools.review.classify.words import count, listed
from quant_llm_tools.review.model import Change, ChangeClass


def stack_added(stack: str, side: StackSide) -> Change:
    """A stack that only head has."""
    return Change(
        ChangeClass.STACK_ADDED,
        (stack,),
        WHOLE_STACK,
        f"a new stack with {_contents(side)}",
        "It is billed from its deploy on, under an account and in a region that the agency file names.",
        "`cdk deploy` of this stack makes all of it; nothing that exists is touched.",
        None,
        _summary(side),
    )


def stack_removed(stack: str, side: StackSide) -> Change:
    """A stack that only base has."""
    return Change(
        ChangeClass.STACK_REMOVED,
        (stack,),
        WHOLE_STACK,
        f"the app no longer has this stack with {_contents(side)}",
        "It goes on running and is billed, and no deploy updates it any more.",
        "Nothing at deploy. `cdk destroy` before the merge removes it; its bucket and key stay.",
        _summary(side),
        None,
    )


def _contents(side: StackSide) -> str:
    return (
        f"{count(len(side.endpoints), 'endpoint')} on {listed(sorted(set(_types(side)))) or 'no instances'}"
    )


def _types(side: StackSide) -> list[str]:
    return [
        str(variant.get("InstanceType", "serverless"))
        for one in side.of_type(ENDPOINT_CONFIG)
        for variant in side.properties(one).get("ProductionVariants", [])
    ]


def _summary(side: StackSide) -> Mapping[str, object]:
    endpoints = [
        str(side.properties(one).get("EndpointName", model)) for model, one in side.endpoints.items()
    ]
    place = {} if side.environment is None else side.environment._asdict()
    return {
        **place,
        "endpoints": sorted(endpoints),
        "weights": [sources_of(side, one) for one in side.of_type(ARTIFACT)],
        "resources": len(side.resources),
    }
