"""`permissions-broadened`: functions, builds and containers that run as another role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quant_llm_tools.review.classify.comparison import ENDPOINT_CONFIG, MODEL, Comparison
from quant_llm_tools.review.classify.words import text_of
from quant_llm_tools.review.model import Change, ChangeClass

_RUNS_AS: Final = {
    "AWS::CodeBuild::Project": "ServiceRole",
    "AWS::Lambda::Function": "Role",
    "AWS::StepFunctions::StateMachine": "RoleArn",
    ENDPOINT_CONFIG: "ExecutionRoleArn",
    MODEL: "ExecutionRoleArn",
}
"""Types that run as a role: the property that names it."""


def roles(comparison: Comparison) -> Iterator[Change]:
    """What runs as another role may do all that the other may, though no policy differs."""
    for logical_id in comparison.kept(*_RUNS_AS):
        name = _RUNS_AS[comparison.after.resources[logical_id]["Type"]]
        old, new = (
            text_of(side.properties(logical_id).get(name, ""), side)
            for side in (comparison.before, comparison.after)
        )
        if not (old and new) or old == new:
            continue
        comparison.explain(logical_id, name)
        is_ours = new.startswith("${")
        role = new.removeprefix("${").removesuffix("}")
        yield comparison.change(
            ChangeClass.PERMISSIONS_BROADENED,
            comparison.path(logical_id),
            f"it runs as {role}" + ("" if is_ours else ", a role whose permissions are not in the template"),
            why="It may do all that the other role may.",
            effect="In force from the deploy on.",
            before=old,
            after=new,
        )
