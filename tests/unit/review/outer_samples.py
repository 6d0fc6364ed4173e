"""Changes, costs and fits for tests of what is made of them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from quant_llm_tools.review.gate import judge
from quant_llm_tools.review.model import BeforeAfter, Change, ChangeClass, Fit, MonthlyCost, Review
from quant_llm_tools.review.verdict import Approval, Verdict

TODAY = datetime.date(2027, 1, 15)


def change(
    change_class: ChangeClass = ChangeClass.WEIGHTS_CHANGED,
    stacks: Sequence[str] = ("QuantLlmStack-health",),
    resource: str = "mistral-7b/Artifact",
    summary: str = "The weights change",
    before: object = None,
    after: object = None,
) -> Change:
    return Change(
        change_class,
        tuple(stacks),
        resource,
        summary,
        "Answers differ",
        "The endpoint rolls",
        before,
        after,
    )


def approval(
    change_class: ChangeClass = ChangeClass.WEIGHTS_CHANGED,
    paths: Sequence[str] = ("QuantLlmStack-health/mistral-7b/Artifact",),
    *,
    expires: datetime.date | None = None,
    line: int = 2,
) -> Approval:
    return Approval(
        change_class, tuple(paths), "evaluated by the team", expires, f".quantllm-review.yaml:{line}"
    )


COST = {
    "health": BeforeAfter(
        MonthlyCost(752.0, 900.0, 1504.0, 2000.0), MonthlyCost(1504.0, 1800.0, 3008.0, 2000.0)
    ),
    "justice": BeforeAfter(MonthlyCost(100.0, 100.0, 100.0), MonthlyCost(100.0, 100.0, 100.0)),
    "new": BeforeAfter(
        None, MonthlyCost(None, None, None, 10.0, unknown="the price of ml.g5.xlarge is not known")
    ),
}
FIT = {
    "health-mistral-7b": BeforeAfter(
        Fit("ml.g4dn.xlarge", 13107.2, 14950.4), Fit("ml.g4dn.xlarge", 16384.0, 14950.4)
    ),
    "justice-mistral-7b": BeforeAfter(
        Fit("ml.g5.xlarge", 1024.0, 2048.0), Fit("ml.g5.xlarge", 1024.0, 2048.0)
    ),
}


def review(*changes: Change) -> Review:
    return Review(tuple(sorted(changes, key=lambda one: one.change_class.severity)), COST, FIT)


def judged(made: Review, fail_on: Sequence[ChangeClass] = (), approvals: Sequence[Approval] = ()) -> Verdict:
    return judge(made.changes, fail_on, approvals, TODAY)
