"""Executions that end before their own end: stopped by hand, out of time, or failed outside of every task.

No state of theirs runs any more that would tell CloudFormation, whose stack would wait twelve hours for
nothing. EventBridge tells the function, which does what the task `fail` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quant_llm_lambda.log import log
from quant_llm_repack.edges import Edges, LambdaContext
from quant_llm_repack.errors import EndedError
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.state_machine import FAILED
from quant_llm_repack.tasks import run_task

DETAIL_TYPE = "Step Functions Execution Status Change"
STATUSES = ("ABORTED", "FAILED", "TIMED_OUT")


def clear_up(event: Mapping[str, Any], context: LambdaContext, edges: Edges) -> None:
    """Signal the wait handle of the event's execution and end its upload. Safe to run twice.

    The event is EventBridge's, which says what DescribeExecution does:
    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    execution = _whole(event["detail"], edges)
    if execution.get("error") == FAILED:
        return  # the task `fail` has done it
    given = json.loads(execution["input"])
    reason = reason_of(execution, artifact=ArtifactRequest.from_properties(given["Request"]).url)
    log("repack.ended", execution=execution["executionArn"], status=execution["status"])
    cause = json.dumps({"errorMessage": reason})
    error = {"Error": EndedError.__name__, "Cause": cause}
    run_task({**given, "Task": "fail", "Error": error}, context, edges)


def _whole(detail: Mapping[str, Any], edges: Edges) -> dict[str, Any]:
    """The event's detail, and what it lacks: an input that made it more than 248 KB, above all."""
    told = {name: value for name, value in detail.items() if value is not None}
    if "input" in told and (told["status"] != "FAILED" or "error" in told):
        return told
    # What the event tells is newer: DescribeExecution may lag behind.
    return {**edges.describe_execution(str(detail["executionArn"])), **told}


def reason_of(execution: Mapping[str, Any], *, artifact: str) -> str:
    """One sentence for the stack's event: what ended, how, and where to look."""
    how = {
        "ABORTED": "was stopped before its end; CloudTrail's StopExecution says by whom",
        "FAILED": "failed outside of its tasks",
        "TIMED_OUT": "took longer than its state machine allows",
    }[str(execution["status"])]
    words = [str(execution[name]) for name in ("error", "cause") if execution.get(name)]
    told = f" ({': '.join(words)})" if words else ""
    where = f"see the execution {execution['executionArn']} in Step Functions"
    return f"the repack of {artifact} {how}{told}; {where}, then deploy again"
