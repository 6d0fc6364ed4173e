"""The Lambda function behind `Custom::ModelArtifact`, every task of its state machine, and its end.

Environment: `HF_ENDPOINT`, the hub or a mirror of it, https://huggingface.co without it; `STATE_MACHINE_ARN`,
what makes an artifact however long that takes, and without it the function makes it itself, within its own
time; `WORKERS`, how many copies the state machine runs at a time.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_lambda.cloudformation import send_failure, send_success
from quant_llm_lambda.log import log
from quant_llm_repack.edges import Edges, LambdaContext
from quant_llm_repack.ended import DETAIL_TYPE, clear_up
from quant_llm_repack.errors import RepackError
from quant_llm_repack.plan import plan_of
from quant_llm_repack.repack import Artifact, repack
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.store import ArtifactStore
from quant_llm_repack.tasks import run_task

__all__ = ["Edges", "answer", "handle"]


def handle(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """What Lambda calls: run a task of the state machine, clear up after one, or answer CloudFormation."""
    edges = Edges()
    if "Task" in event:
        return run_task(event, context, edges)
    if event.get("detail-type") == DETAIL_TYPE:
        clear_up(event, context, edges)
    else:
        answer(event, context, edges)
    return None


def answer(event: Mapping[str, Any], context: LambdaContext, edges: Edges) -> None:
    """Do what the event asks for and tell CloudFormation how it ended.

    With a state machine only its start is answered; its last task signals the request's `WaitHandle`.
    Whatever goes wrong becomes FAILED with a reason. AnswerError when CloudFormation can't be told: Lambda
    then runs the event again, which finds the execution or the artifact there.
    """
    physical_id = str(event.get("PhysicalResourceId", event["LogicalResourceId"]))
    try:
        if event["RequestType"] == "Delete":  # artifacts are kept: other stacks and rollbacks may need them
            data: dict[str, str] = {}
            _end_what_is_under_way(event, context, edges)
        else:
            request = ArtifactRequest.from_properties(event["ResourceProperties"])
            physical_id = request.url
            if state_machine_arn := edges.environment.get("STATE_MACHINE_ARN"):
                _start(state_machine_arn, event, request, edges)
                artifact_bytes = plan_of(request).total_bytes
            else:
                artifact_bytes = _make(request, context, edges).artifact_bytes
            data = {"ModelDataUrl": request.url, "Bytes": str(artifact_bytes)}
    except RepackError as error:
        reason = str(error)
        log("repack.failed", artifact=physical_id, reason=reason)
    except Exception as error:  # CloudFormation waits an hour for a function that died without a word
        reason = f"the repack function has a bug, see its log stream {context.log_stream_name}: {error!r}"
        log("repack.failed", artifact=physical_id, reason=reason, traceback=traceback.format_exc())
    else:
        send_success(event, physical_id=physical_id, data=data, http=edges.http, sleep=edges.sleep)
        return
    send_failure(event, physical_id=physical_id, reason=reason, http=edges.http, sleep=edges.sleep)


def _start(state_machine_arn: str, event: Mapping[str, Any], request: ArtifactRequest, edges: Edges) -> None:
    """Start the execution of this very request; a second delivery of it finds the first one's."""
    input_ = {
        "Request": request.to_properties(),
        "WaitHandle": event["ResourceProperties"].get("WaitHandle", ""),
    }
    name = re.sub(r"[^A-Za-z0-9_-]", "-", str(event["RequestId"]))[:80]
    try:
        edges.start_execution(state_machine_arn, name, json.dumps(input_, sort_keys=True))
    except (ClientError, BotoCoreError) as error:
        raise RepackError(f"the state machine {state_machine_arn} can't be started: {error}") from error
    log("repack.execution_started", artifact=request.url, execution=name)


def _end_what_is_under_way(event: Mapping[str, Any], context: LambdaContext, edges: Edges) -> None:
    """A stack that is rolled back for another reason takes the state machine away before its last task.

    Where that fails the stack goes all the same: the bucket's lifecycle rules end uploads and notes in days.
    """
    try:
        run_task({"Task": "clear", "Request": event["ResourceProperties"]}, context, edges)
    except Exception as error:
        log("repack.not_cleared", artifact=event.get("PhysicalResourceId"), problem=repr(error))


def _make(request: ArtifactRequest, context: LambdaContext, edges: Edges) -> Artifact:
    deadline = edges.deadline(context)
    log("repack.started", artifact=request.url, repository=request.repository, commit=request.commit)
    artifact = repack(
        request,
        source=lambda: edges.hub(request, deadline),
        store=ArtifactStore(edges.s3(), request.bucket),
        report=lambda progress: log("repack.progress", **asdict(progress)),
    )
    log("repack.finished", artifact=request.url, **asdict(artifact))
    return artifact
