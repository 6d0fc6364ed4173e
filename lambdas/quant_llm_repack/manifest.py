"""The manifest beside an artifact: what is in it, from where, and where in it. It is written last."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from quant_llm_repack.plan import Plan, PlannedObject
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.store import ArtifactStore

FORMAT = 1  # of the archive's bytes: a change of them for the same files is a new number

_CRC32_AND_LENGTH = 8  # bytes that end a gzip member


def object_metadata(request: ArtifactRequest, of: PlannedObject) -> dict[str, str]:
    """The S3 metadata of one of the artifact's objects, by which a later deploy knows it."""
    if of.is_framed:
        return {"quantllm-format": str(FORMAT), "quantllm-files-sha256": request.digest}
    (file,) = of.files
    return {"quantllm-sha256": file.sha256}


def write_manifest(store: ArtifactStore, request: ArtifactRequest, plan: Plan) -> None:
    """Write the manifest of an artifact all of whose objects are there, unless it is there."""
    tar_crc32 = None
    if not request.is_prefix:
        tar_crc32 = int.from_bytes(store.read_end(request.key, _CRC32_AND_LENGTH)[:4], "little")
    body = manifest_json(request, plan, tar_crc32=tar_crc32)
    store.put_if_absent(request.manifest_key, body, content_type="application/json")


def manifest_json(request: ArtifactRequest, plan: Plan, *, tar_crc32: int | None = None) -> bytes:
    """The manifest's bytes, the same for the same request.

    With `tar_crc32`, the CRC-32 of the tar as the gzip trailer has it, it is that of an archive: a file's
    `offset` is that of its first byte in the tar. Without, each file is an object by its path.
    """
    files: list[dict[str, Any]] = [
        {
            "path": member.file.path,
            "size": member.file.size,
            "sha256": member.file.sha256,
            **({} if member.file.origin is None else {"source": asdict(member.file.origin)}),
        }
        for member in plan.members
    ]
    source = {"repository": request.repository, "commit": request.commit}
    if request.source_prefix is not None:
        source["made_at"] = request.source_prefix  # not the repository's own files: a job made them of those
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "source": source,
        "files": files,
    }
    if tar_crc32 is None:
        manifest["prefix"] = {"bytes": plan.total_bytes, "objects": len(plan.objects)}
    else:
        manifest["archive"] = {
            "bytes": plan.total_bytes,
            "tar_bytes": plan.objects[-1].payload_stop,
            "tar_crc32": f"{tar_crc32:08x}",
        }
        for file, member in zip(files, plan.members, strict=True):
            file["offset"] = member.data_offset
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
