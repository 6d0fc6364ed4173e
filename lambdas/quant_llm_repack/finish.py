"""Publishes objects whose parts are all there: the last check of all, then the objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import reduce

from quant_llm_repack.crc32 import crc32_combine
from quant_llm_repack.errors import MismatchError, StoreError, UploadGoneError
from quant_llm_repack.hash_chain import HashChain
from quant_llm_repack.objects import THREADS, ArtifactObjects, Uploads
from quant_llm_repack.plan import Plan, PlannedObject
from quant_llm_repack.records import PartRecord, Records
from quant_llm_repack.render import RenderedPart, Source, render
from quant_llm_repack.request import SourceFile
from quant_llm_repack.store import ListedPart, UploadedPart
from quant_llm_repack.verify import require_sha256


@dataclass(frozen=True, slots=True)
class _Ready:
    """An object that may be published when all others may; `last` is a part that is not sent yet."""

    of: PlannedObject
    records: tuple[PartRecord, ...]
    sent: tuple[UploadedPart, ...]
    last: RenderedPart | None


class Finisher:
    """Verifies what an execution's workers have sent, and publishes it."""

    def __init__(
        self,
        plan: Plan,
        *,
        objects: ArtifactObjects,
        uploads: Uploads,
        records: Records,
        chain: HashChain,
        source: Source,
        executor: Callable[[int], Executor],
    ) -> None:
        """Publish from `uploads`; `source` is for the part that the workers leave to the finisher."""
        self._plan = plan
        self._objects = objects
        self._uploads = uploads
        self._records = records
        self._chain = chain
        self._source = source
        self._executor = executor

    def publish(self, missing: Sequence[PlannedObject]) -> None:
        """Verify every file of the `missing` objects, and only then make the first of them visible.

        MismatchError when a file isn't the lock's or two workers saw different bytes of one; StoreError when
        a part is missing or S3 has other bytes than those that were hashed, UploadGoneError when an upload
        was ended by somebody else. None of the objects was made visible here then.
        """
        with self._executor(THREADS) as asking:
            records = self._copied(missing, asking)
            # After the records: who ends an upload removes its records only then.
            listed = dict(zip((of.name for of in missing), asking.map(self._listed, missing), strict=True))
        waiting = [(of, parts) for of in missing if (parts := listed[of.name]) is not None]
        is_shared = len(self._uploads) > sum(bool(of.parts) for of, _ in waiting)
        ready = [self._ready(of, records, parts, is_shared=is_shared) for of, parts in waiting]
        require_verified(
            (file for each in ready for file in each.of.files),
            (record for each in ready for record in each.records),
        )
        with self._executor(THREADS) as asking:
            for published in [asking.submit(self._publish, each) for each in ready]:
                published.result()

    def _copied(self, missing: Iterable[PlannedObject], asking: Executor) -> dict[int, PartRecord]:
        """The records of the parts that workers make, as far as there are any."""
        of_items = self._records.of_items(asking)
        # One by one where an item was dealt in another way, by an earlier execution or version.
        found = {
            number: of_items.get(number) or self._records.get(number)
            for of in missing
            for number in of.parts
            if number in self._plan.copied_parts
        }
        return {number: record for number, record in found.items() if record}

    def _listed(self, of: PlannedObject) -> dict[int, ListedPart] | None:
        """What S3 has of the object's parts; None when another execution has published it."""
        if not of.parts:
            return {}
        try:
            if of.name not in self._uploads:  # it was there when this execution began
                raise UploadGoneError(f"{self._objects.url(of)} was removed meanwhile")
            return self._uploads[of.name].listed()
        except UploadGoneError:
            if self._objects.is_there(of):
                return None
            raise

    def _ready(
        self,
        of: PlannedObject,
        records: Mapping[int, PartRecord],
        listed: Mapping[int, ListedPart],
        *,
        is_shared: bool,
    ) -> _Ready:
        """Check an object's parts.

        With `is_shared` another execution has published some of this one's objects. Workers of this one may
        have ended early then, and it begins again.
        """
        own: list[PartRecord] = []
        sent: list[UploadedPart] = []
        for number in of.parts:
            if number not in self._plan.copied_parts:
                continue
            part, record = self._plan.part(number), records.get(number)
            if record is None:
                kind = UploadGoneError if is_shared else StoreError
                raise kind(f"part {number} was not copied; deploy again")
            found = listed.get(part.s3_number)
            if found is None or not found.is_of(length=part.length, crc32=record.crc32):
                raise StoreError(f"part {number} of the upload is not what was hashed; deploy again")
            own.append(record)
            sent.append(UploadedPart(part.s3_number, found.etag, record.crc32, part.length))
        last = None
        if of.is_framed:
            number = of.parts[-1]
            last = self._last(number, own)
            own.append(self._chain.add(self._plan.part(number), last))
        return _Ready(of, tuple(own), tuple(sent), last)

    def _last(self, number: int, before: Iterable[PartRecord]) -> RenderedPart:
        """The archive's last part, whose trailer needs the CRC-32 of the tar before it."""
        tar_crc32 = reduce(
            lambda crc, record: crc32_combine(
                crc, record.payload_crc32, self._plan.part(record.number).payload_bytes
            ),
            before,
            0,
        )
        return render(self._plan.part(number), self._source, crc32_before=tar_crc32)

    def _publish(self, ready: _Ready) -> None:
        if not ready.of.parts:
            self._objects.put_empty(ready.of)
            return
        upload = self._uploads[ready.of.name]
        upload.complete([*ready.sent, upload.put(ready.last)] if ready.last else ready.sent)


def require_verified(files: Iterable[SourceFile], records: Iterable[PartRecord]) -> None:
    """Raise MismatchError unless the records of all parts of whole objects prove every file's sha256.

    A file's hash was computed over one sequence of bytes when each part went on from what the part before
    ended with; then the sha256 at the file's end is that of the bytes in S3.
    """
    after: str | None = None
    sha256: dict[str, str] = {}
    for record in records:
        if record.before != after:
            raise MismatchError(
                f"the bytes before part {record.number} are not those that its file was hashed with: "
                f"sha256 {after} was uploaded, {record.before} was hashed; deploy again"
            )
        after = record.after
        sha256.update(record.sha256)
    for file in files:
        if file.size:
            if file.path not in sha256:
                raise MismatchError(f"{file.path}: its sha256 was not verified")
            require_sha256(file, sha256[file.path])
