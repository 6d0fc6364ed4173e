"""The tasks that the state machine gives the function: plan, copy, finish, fail.

Each is safe to run twice, at the same time too. A task that fails raises; the state machine knows the error
by the name of its class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from quant_llm_lambda.cloudformation import AnswerRefusedError, signal
from quant_llm_lambda.log import log
from quant_llm_repack import errors
from quant_llm_repack.copy import PartCopier
from quant_llm_repack.edges import Edges, LambdaContext
from quant_llm_repack.errors import RepackError, RequestError, StoreUnavailableError, UploadGoneError
from quant_llm_repack.finish import Finisher
from quant_llm_repack.hash_chain import HashChain
from quant_llm_repack.hub import HubRepository
from quant_llm_repack.made import MadeFiles
from quant_llm_repack.manifest import write_manifest
from quant_llm_repack.objects import ArtifactObjects, Uploads
from quant_llm_repack.plan import plan_of
from quant_llm_repack.records import Records, work_prefix
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.sha256_state import can_hand_on
from quant_llm_repack.store import ArtifactStore
from quant_llm_repack.work import work_items

DEFAULT_WORKERS = 10


def run_task(event: Mapping[str, Any], context: LambdaContext, edges: Edges) -> dict[str, Any]:
    """Run the event's `Task`; RepackError for what ends the repack, or is to be tried again."""
    name = str(event["Task"])
    if name not in _TASKS:
        raise RequestError(f"Task must be one of {', '.join(_TASKS)}, got {name!r}")
    return _TASKS[name](_Repack(event, context, edges))


class _Repack:
    """What the tasks share: the request, its plan and its store."""

    def __init__(self, event: Mapping[str, Any], context: LambdaContext, edges: Edges) -> None:
        self.event = event
        self.edges = edges
        self.request = ArtifactRequest.from_properties(event["Request"])
        self.plan = plan_of(self.request, blocks_per_part=edges.blocks_per_part)
        self.store = ArtifactStore(edges.s3(), self.request.bucket)
        self.objects = ArtifactObjects(self.store, self.request, self.plan, executor=edges.executor)
        self.deadline = edges.deadline(context)

    def hub(self) -> HubRepository | MadeFiles:
        return self.edges.hub(self.request, self.deadline)

    def uploads(self) -> Uploads:
        return self.objects.uploads(self.event["UploadIds"])

    def records(self) -> Records:
        return Records(self.store, self.request.key, self.plan, self.event["UploadIds"])

    def chain(self, hub: HubRepository | MadeFiles) -> HashChain:
        return HashChain(
            self.plan,
            self.records(),
            hub,
            deadline=self.deadline,
            sleep=self.edges.sleep,
            clock=self.edges.clock,
        )

    def clear(self) -> None:
        """Leave nothing under way: no upload, no record.

        Another execution that shared the upload begins a new one, whose records are none of those seen here.
        """
        records = self.store.keys(work_prefix(self.request.key))
        self.objects.end_uploads()
        self.store.remove(records)

    def signal(self, status: str, reason: str) -> None:
        if not (url := self.event.get("WaitHandle")):
            return
        try:
            signal(
                str(url),
                status=status,
                unique_id=self.request.digest,
                data=self.request.url,
                reason=reason,
                http=self.edges.http,
                sleep=self.edges.sleep,
            )
        except AnswerRefusedError as error:
            # No stack waits any more: what is published stays, and the next deploy finds it.
            log("repack.signal_refused", artifact=self.request.url, status=status, problem=str(error))


def _plan(repack: _Repack) -> dict[str, Any]:
    """What is to be copied: `{"Done", "UploadIds": […], "Items": [{"Parts": […]}, …]}`; nothing when Done.

    `UploadIds` has the id of each object's upload, null for an object that needs none.
    """
    request, plan, objects = repack.request, repack.plan, repack.objects
    nothing = {"Done": True, "UploadIds": [None] * len(plan.objects), "Items": []}
    if not (missing := objects.missing()):
        return nothing
    log("repack.started", artifact=request.url, repository=request.repository, commit=request.commit)
    repack.hub().check(request.files)
    upload_ids = objects.shared_uploads(missing)
    if not (missing := objects.missing()):
        # Published meanwhile by another deploy, which may not have seen our uploads.
        repack.clear()
        return nothing
    workers = int(repack.edges.environment.get("WORKERS") or DEFAULT_WORKERS)
    wanted = {number for of in missing for number in of.parts}
    items = [
        {"Parts": parts}
        for item in work_items(plan, workers, hand_on=can_hand_on())
        if (parts := [number for number in item.parts if number in wanted])
    ]
    log(
        "repack.planned",
        artifact=request.url,
        parts=plan.part_count,
        items=len(items),
        workers=workers,
        artifact_bytes=plan.total_bytes,
    )
    return {"Done": False, "UploadIds": upload_ids, "Items": items}


def _copy(repack: _Repack) -> dict[str, Any]:
    """Copy the parts of `Item`: `{"Done": false}` when the time was over before the last one."""
    hub = repack.hub()
    copier = PartCopier(
        repack.plan,
        source=hub,
        uploads=repack.uploads(),
        records=repack.records(),
        chain=repack.chain(hub),
        report=lambda progress: log("repack.progress", artifact=repack.request.url, **asdict(progress)),
        executor=repack.edges.executor,
        clock=repack.edges.clock,
    )
    try:
        return {"Done": copier.copy(repack.event["Item"]["Parts"], item=int(repack.event["Index"]))}
    except UploadGoneError:
        # Another deploy of the same artifact has published it, or ended the upload that both had: the task
        # `finish` finds out which. The other items end here as soon.
        return {"Done": True}


def _finish(repack: _Repack) -> dict[str, Any]:
    """Verify and publish the artifact, write its manifest, tell CloudFormation."""
    request, plan, objects = repack.request, repack.plan, repack.objects
    missing = objects.missing()
    if missing:
        hub = repack.hub()
        finisher = Finisher(
            plan,
            objects=objects,
            uploads=repack.uploads(),
            records=repack.records(),
            chain=repack.chain(hub),
            source=hub,
            executor=repack.edges.executor,
        )
        finisher.publish(missing)
        if left := objects.missing():
            raise StoreUnavailableError(f"{objects.url(left[0])} is not there yet; deploy again")
    write_manifest(repack.store, request, plan)
    log("repack.finished", artifact=request.url, artifact_bytes=plan.total_bytes, existed=not missing)
    # Before the clearing up, whose failure is none of the artifact's.
    repack.signal("SUCCESS", "the artifact is there, and every file's sha256 is the lock's")
    repack.clear()
    return {"ModelDataUrl": request.url, "Bytes": str(plan.total_bytes)}


def _fail(repack: _Repack) -> dict[str, Any]:
    """Remove what is under way and tell CloudFormation why, in one sentence."""
    reason = reason_of(repack.event.get("Error", {}))
    log("repack.failed", artifact=repack.request.url, reason=reason)
    # Before the clearing up, whose failure must neither hide the first one nor leave the stack waiting.
    repack.signal("FAILURE", reason)
    repack.clear()
    return {"Reason": reason}


def _clear(repack: _Repack) -> dict[str, Any]:
    """Remove what is under way, and tell nobody."""
    repack.clear()
    return {}


def reason_of(error: Mapping[str, Any]) -> str:
    """One sentence for what Step Functions caught: `{"Error": class name, "Cause": Lambda's JSON}`."""
    name, cause = str(error.get("Error", "")), str(error.get("Cause", ""))
    try:
        message = str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return f"the repack function ended with {name or 'no error'}: {cause or 'see its log'}"
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, RepackError):
        may_pass = name in errors.RETRIED and "deploy again" not in message
        return f"{message}; deploy again when that is over" if may_pass else message
    return f"the repack function has a bug, see its log: {name}: {message}"


_TASKS: dict[str, Callable[[_Repack], dict[str, Any]]] = {
    "plan": _plan,
    "copy": _copy,
    "finish": _finish,
    "fail": _fail,
    "clear": _clear,
}
