"""The tasks that the state machine gives the function: plan, copy, finish, fail.

Each is safe to run twice, at the same time too. A task that fails raises; the state machine knows the error
by the name of its class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from quant_llm_lambda.cloudformation import signal
from quant_llm_lambda.log import log
from quant_llm_repack import errors
from quant_llm_repack.copy import PartCopier
from quant_llm_repack.edges import Edges, LambdaContext
from quant_llm_repack.errors import RepackError, RequestError, UploadGoneError
from quant_llm_repack.finish import publish
from quant_llm_repack.hash_chain import HashChain
from quant_llm_repack.hub import HubRepository
from quant_llm_repack.manifest import manifest_json, object_metadata
from quant_llm_repack.plan import ArchivePlan
from quant_llm_repack.records import Records, work_prefix
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.sha256_state import can_hand_on
from quant_llm_repack.store import ArtifactStore, Upload
from quant_llm_repack.work import work_items

DEFAULT_WORKERS = 10

_NOTHING = {"Done": True, "UploadId": "", "Items": []}


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
        self.plan = ArchivePlan(self.request.files, blocks_per_part=edges.blocks_per_part)
        self.metadata = object_metadata(self.request)
        self.store = ArtifactStore(edges.s3(), self.request.bucket)
        self.deadline = edges.deadline(context)

    def hub(self) -> HubRepository:
        return self.edges.hub(self.request, self.deadline)

    def is_there(self) -> bool:
        return self.store.holds(self.request.key, length=self.plan.archive_bytes, metadata=self.metadata)

    def upload(self) -> Upload:
        return self.store.resumed(
            self.request.key,
            str(self.event["UploadId"]),
            length=self.plan.archive_bytes,
            metadata=self.metadata,
        )

    def records(self) -> Records:
        return Records(self.store, self.request.key, str(self.event["UploadId"]))

    def chain(self, hub: HubRepository) -> HashChain:
        return HashChain(
            self.plan,
            self.records(),
            hub,
            deadline=self.deadline,
            sleep=self.edges.sleep,
            clock=self.edges.clock,
        )

    def clear(self) -> None:
        """Leave nothing under way: no upload, no record."""
        self.store.end_uploads(self.request.key)
        self.store.remove(work_prefix(self.request.key))

    def signal(self, status: str, reason: str) -> None:
        if url := self.event.get("WaitHandle"):
            signal(
                str(url),
                status=status,
                unique_id=self.request.digest,
                data=self.request.url,
                reason=reason,
                http=self.edges.http,
                sleep=self.edges.sleep,
            )


def _plan(repack: _Repack) -> dict[str, Any]:
    """What is to be copied: `{"Done", "UploadId", "Items": [{"Parts": […]}, …]}`; nothing when Done."""
    if repack.is_there():
        return dict(_NOTHING)
    request = repack.request
    log("repack.started", artifact=request.url, repository=request.repository, commit=request.commit)
    repack.hub().check(request.files)
    upload_id = _upload_of(repack)
    if repack.is_there():  # published meanwhile by another deploy, which may not have seen our upload
        repack.clear()
        return dict(_NOTHING)
    workers = int(repack.edges.environment.get("WORKERS") or DEFAULT_WORKERS)
    items = work_items(repack.plan, workers, hand_on=can_hand_on())
    log(
        "repack.planned",
        artifact=request.url,
        parts=repack.plan.part_count,
        items=len(items),
        workers=workers,
        archive_bytes=repack.plan.archive_bytes,
    )
    return {"Done": False, "UploadId": upload_id, "Items": [{"Parts": list(item.parts)} for item in items]}


def _upload_of(repack: _Repack) -> str:
    """The one upload of the key that all deploys of this artifact share: the oldest, begun if there is none.

    The key names the files by their digest, so whatever another deploy has uploaded there is the same.
    """
    store, key = repack.store, repack.request.key
    if found := store.uploads(key):
        return found[0]
    begun = store.upload(key, length=repack.plan.archive_bytes, metadata=repack.metadata)
    oldest = next(iter(store.uploads(key)), begun.id)
    if oldest != begun.id:  # another deploy began at the same time
        begun.abort()
    return oldest


def _copy(repack: _Repack) -> dict[str, Any]:
    """Copy the parts of `Item`: `{"Done": false}` when the time was over before the last one."""
    hub = repack.hub()
    copier = PartCopier(
        repack.plan,
        source=hub,
        upload=repack.upload(),
        records=repack.records(),
        chain=repack.chain(hub),
        report=lambda progress: log("repack.progress", artifact=repack.request.url, **asdict(progress)),
        executor=repack.edges.executor,
        clock=repack.edges.clock,
    )
    try:
        return {"Done": copier.copy(repack.event["Item"]["Parts"], item=int(repack.event["Index"]))}
    except UploadGoneError:
        if repack.is_there():  # another deploy of the same artifact was faster
            return {"Done": True}
        raise


def _finish(repack: _Repack) -> dict[str, Any]:
    """Verify and publish the archive, write its manifest, tell CloudFormation."""
    request, plan, store = repack.request, repack.plan, repack.store
    existed = repack.is_there()
    if not existed:
        hub = repack.hub()
        try:
            publish(
                plan,
                source=hub,
                upload=repack.upload(),
                records=repack.records(),
                chain=repack.chain(hub),
                executor=repack.edges.executor,
            )
        except UploadGoneError:
            if not repack.is_there():
                raise
    trailer = store.read_end(request.key, 8)
    manifest = manifest_json(request, plan, tar_crc32=int.from_bytes(trailer[:4], "little"))
    store.put_if_absent(request.manifest_key, manifest, content_type="application/json")
    log("repack.finished", artifact=request.url, archive_bytes=plan.archive_bytes, existed=existed)
    # Before the clearing up, whose failure is none of the artifact's.
    repack.signal("SUCCESS", "the artifact is there, and every file's sha256 is the lock's")
    repack.clear()
    return {"ModelDataUrl": request.url, "Bytes": str(plan.archive_bytes)}


def _fail(repack: _Repack) -> dict[str, Any]:
    """Remove what is under way and tell CloudFormation why, in one sentence."""
    reason = reason_of(repack.event.get("Error", {}))
    log("repack.failed", artifact=repack.request.url, reason=reason)
    # Before the clearing up, whose failure must neither hide the first one nor leave the stack waiting.
    repack.signal("FAILURE", reason)
    repack.clear()
    return {"Reason": reason}


def reason_of(error: Mapping[str, Any]) -> str:
    """One sentence for what Step Functions caught: `{"Error": class name, "Cause": Lambda's JSON}`."""
    name, cause = str(error.get("Error", "")), str(error.get("Cause", ""))
    try:
        message = str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return f"the repack function ended with {name or 'no error'}: {cause or 'see its log'}"
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, RepackError):
        return message
    return f"the repack function has a bug, see its log: {name}: {message}"


_TASKS: dict[str, Callable[[_Repack], dict[str, Any]]] = {
    "plan": _plan,
    "copy": _copy,
    "finish": _finish,
    "fail": _fail,
}
