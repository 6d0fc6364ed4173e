"""`manifest.json` beside the archive: what is in it, from where, and at which byte."""

from __future__ import annotations

import json

from quant_llm_repack.plan import ArchivePlan
from quant_llm_repack.request import ArtifactRequest

FORMAT = 1  # of the archive's bytes: a change of them for the same files is a new number


def object_metadata(request: ArtifactRequest) -> dict[str, str]:
    """The archive's S3 metadata, by which a later deploy knows it."""
    return {"quantllm-format": str(FORMAT), "quantllm-files-sha256": request.digest}


def manifest_json(request: ArtifactRequest, plan: ArchivePlan, *, tar_crc32: int) -> bytes:
    """The manifest's bytes, the same for the same request.

    `tar_crc32` is the CRC-32 of the tar in the archive, as its gzip trailer has it. A file's `offset` is that
    of its first byte in the tar.
    """
    manifest = {
        "format": FORMAT,
        "source": {"repository": request.repository, "commit": request.commit},
        "archive": {
            "bytes": plan.archive_bytes,
            "tar_bytes": plan.payload_bytes,
            "tar_crc32": f"{tar_crc32:08x}",
        },
        "files": [
            {
                "path": member.file.path,
                "size": member.file.size,
                "sha256": member.file.sha256,
                "offset": member.data_offset,
            }
            for member in plan.members
        ],
    }
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
