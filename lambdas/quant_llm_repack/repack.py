"""Makes the artifact of a request, unless it is there: hub to S3, part by part, with one part in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from quant_llm_repack.errors import OutOfTimeError
from quant_llm_repack.manifest import write_manifest
from quant_llm_repack.objects import ArtifactObjects, Uploads
from quant_llm_repack.plan import Plan, plan_of
from quant_llm_repack.render import PartBody, Source, render
from quant_llm_repack.request import ArtifactRequest, SourceFile
from quant_llm_repack.store import ArtifactStore, UploadedPart
from quant_llm_repack.verify import VerifyingSource

_MEGABYTE = 1_000_000


class CheckedSource(Source, Protocol):
    """A source that can tell beforehand whether it has the files."""

    def check(self, files: Iterable[SourceFile]) -> None:
        """Raise a RepackError when a file can't be had as the lock names it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the artifact is, in bytes of it, after `part` of `parts`; the rate is the mean so far."""

    bytes_done: int
    bytes_total: int
    mb_per_second: float
    part: int
    parts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """The artifact's length, and whether it was there already."""

    artifact_bytes: int
    existed: bool


def repack(
    request: ArtifactRequest,
    *,
    source: Callable[[], CheckedSource],
    store: ArtifactStore,
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Artifact:
    """Make the artifact and its manifest; one that is there is left alone, without a look at the source.

    Nothing is visible before every file's sha256 has been checked. A RepackError leaves no
    object and no upload behind.
    """
    plan = plan_of(request)
    objects = ArtifactObjects(store, request, plan, executor=ThreadPoolExecutor)
    missing = objects.missing()
    if missing:
        files = source()
        files.check(request.files)
        with ExitStack() as uploads:
            begun = {of.name: uploads.enter_context(objects.begin(of)) for of in missing if of.parts}
            sent = _copy(plan, files, begun, report, clock)
            for name, upload in begun.items():
                upload.complete(sent[name])
        for of in missing:
            if not of.parts:
                objects.put_empty(of)
    # Also for an artifact that was there: the deploy that made it may have ended before its manifest.
    write_manifest(store, request, plan)
    return Artifact(artifact_bytes=plan.total_bytes, existed=not missing)


def _copy(
    plan: Plan,
    files: Source,
    uploads: Uploads,
    report: Callable[[Progress], None],
    clock: Callable[[], float],
) -> dict[str, list[UploadedPart]]:
    """Send all parts of the uploads in order; returns when every file's sha256 is the lock's."""
    verified = VerifyingSource(files)
    began = clock()
    sent: dict[str, list[UploadedPart]] = {name: [] for name in uploads}
    numbers = [number for of in plan.objects if of.name in uploads for number in of.parts]
    bytes_total = sum(of.length for of in plan.objects if of.name in uploads)
    buffer = PartBody()
    tar_crc32 = bytes_done = 0
    for done, number in enumerate(numbers, 1):
        part, name = plan.part(number), plan.object_of(number).name
        try:
            rendered = render(part, verified, crc32_before=tar_crc32, buffer=buffer)
        except OutOfTimeError as error:
            raise OutOfTimeError(
                "the model is too large for one run of the repack function: "
                f"{bytes_done / _MEGABYTE:,.0f} of "
                f"{bytes_total / _MEGABYTE:,.0f} MB were copied in {clock() - began:.0f} s ({error})"
            ) from error
        sent[name].append(uploads[name].put(rendered))
        tar_crc32 = rendered.tar_crc32
        bytes_done += part.length
        seconds = max(clock() - began, 1e-6)
        report(
            Progress(
                bytes_done=bytes_done,
                bytes_total=bytes_total,
                mb_per_second=round(bytes_done / _MEGABYTE / seconds, 1),
                part=done,
                parts=len(numbers),
            )
        )
    verified.require_all(file for of in plan.objects if of.name in uploads for file in of.files)
    return sent
