"""Makes the artifact of a request, unless it is there: hub to S3, part by part, with one part in memory."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from quant_llm_repack.errors import OutOfTimeError
from quant_llm_repack.manifest import manifest_json, object_metadata
from quant_llm_repack.plan import ArchivePlan
from quant_llm_repack.render import Source, render
from quant_llm_repack.request import ArtifactRequest, SourceFile
from quant_llm_repack.store import ArtifactStore, Upload, UploadedPart
from quant_llm_repack.verify import VerifyingSource

_MEGABYTE = 1_000_000


class CheckedSource(Source, Protocol):
    """A source that can tell beforehand whether it has the files."""

    def check(self, files: Iterable[SourceFile]) -> None:
        """Raise a RepackError when a file can't be had as the lock names it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the archive is, in bytes of it, after `part` of `parts`; the rate is the mean so far."""

    bytes_done: int
    bytes_total: int
    mb_per_second: float
    part: int
    parts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """The archive's length, and whether it was there already."""

    archive_bytes: int
    existed: bool


def repack(
    request: ArtifactRequest,
    *,
    source: Callable[[], CheckedSource],
    store: ArtifactStore,
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Artifact:
    """Make the archive and its manifest; one that is there is left alone, without a look at the source.

    Nothing is visible under the key before every file's sha256 has been checked. A RepackError leaves no
    object and no upload behind.
    """
    plan = ArchivePlan(request.files)
    metadata = object_metadata(request)
    existed = store.holds(request.key, length=plan.archive_bytes, metadata=metadata)
    if not existed:
        files = source()
        files.check(request.files)
        with store.upload(request.key, length=plan.archive_bytes, metadata=metadata) as upload:
            upload.complete(_copy(plan, files, upload, report, clock))
    # Also for an archive that was there: the deploy that made it may have ended before its manifest.
    trailer = store.read_end(request.key, 8)
    manifest = manifest_json(request, plan, tar_crc32=int.from_bytes(trailer[:4], "little"))
    store.put_if_absent(request.manifest_key, manifest, content_type="application/json")
    return Artifact(archive_bytes=plan.archive_bytes, existed=existed)


def _copy(
    plan: ArchivePlan,
    files: Source,
    upload: Upload,
    report: Callable[[Progress], None],
    clock: Callable[[], float],
) -> list[UploadedPart]:
    """Send all parts in order; returns when every file's sha256 is the lock's."""
    verified = VerifyingSource(files)
    began = clock()
    uploaded: list[UploadedPart] = []
    buffer = io.BytesIO()
    tar_crc32 = bytes_done = 0
    for part in plan.parts():
        try:
            rendered = render(part, verified, crc32_before=tar_crc32, buffer=buffer)
        except OutOfTimeError as error:
            raise OutOfTimeError(
                "the model is too large for one run of the repack function: "
                f"{bytes_done / _MEGABYTE:,.0f} of "
                f"{plan.archive_bytes / _MEGABYTE:,.0f} MB were copied in {clock() - began:.0f} s ({error})"
            ) from error
        uploaded.append(upload.put(rendered))
        tar_crc32 = rendered.tar_crc32
        bytes_done += part.length
        seconds = max(clock() - began, 1e-6)
        report(
            Progress(
                bytes_done=bytes_done,
                bytes_total=plan.archive_bytes,
                mb_per_second=round(bytes_done / _MEGABYTE / seconds, 1),
                part=part.number,
                parts=plan.part_count,
            )
        )
    verified.require_all(member.file for member in plan.members)
    return uploaded
