"""One worker: downloads its parts, uploads them and hashes them, three things at a time with two buffers."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

from quant_llm_repack.errors import OutOfTimeError
from quant_llm_repack.hash_chain import HashChain
from quant_llm_repack.objects import Uploads
from quant_llm_repack.plan import Part, Plan
from quant_llm_repack.records import PartRecord, Records
from quant_llm_repack.render import RenderedPart, Source, render
from quant_llm_repack.store import ListedPart, UploadedPart

BUFFERS = 2  # parts in memory: one is filled while the other is sent

_MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyProgress:
    """How far an item is after `part`, in bytes of the artifact.

    `bytes_added` are those of `part`: added up over the lines of all items they come to `artifact_bytes`,
    less the archive's last part and what an earlier execution had copied. `part` of `parts` counts the item's
    own.
    """

    item: int
    bytes_added: int
    bytes_done: int
    bytes_total: int
    artifact_bytes: int
    mb_per_second: float
    part: int
    parts: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """A part whose bytes are being hashed and sent, and then its buffer is free."""

    part: Part
    rendered: RenderedPart
    record: Future[PartRecord]
    uploaded: Future[UploadedPart]


class PartCopier:
    """Copies the parts of one item."""

    def __init__(
        self,
        plan: Plan,
        *,
        source: Source,
        uploads: Uploads,
        records: Records,
        chain: HashChain,
        report: Callable[[CopyProgress], None],
        executor: Callable[[int], Executor] = ThreadPoolExecutor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from `source`, send to `uploads`, hash by `chain`."""
        self._plan = plan
        self._source = source
        self._uploads = uploads
        self._records = records
        self._chain = chain
        self._report = report
        self._executor = executor
        self._clock = clock

    def copy(self, numbers: Sequence[int], *, item: int) -> bool:
        """Copy the parts that aren't there yet; False when the time was over before the last.

        OutOfTimeError when it was over before the first: another try will not come further.
        """
        names = {self._plan.object_of(number).name for number in numbers}
        listed = {name: self._uploads[name].listed() for name in sorted(names)}
        there = [record for number in numbers if (record := self._there(number, listed))]
        present = {record.number for record in there}
        missing = [number for number in numbers if number not in present]
        copied = self._copy_all(missing, item)
        if missing and not copied:
            raise OutOfTimeError(
                f"the function's time was over before one of {len(missing)} parts could be copied"
            )
        if len(copied) < len(missing):
            return False
        self._records.put_item([*there, *copied])
        return True

    def _there(self, number: int, listed: Mapping[str, Mapping[int, ListedPart]]) -> PartRecord | None:
        """The record of a part when S3 has the very bytes that were hashed."""
        part = self._plan.part(number)
        found = listed[self._plan.object_of(number).name].get(part.s3_number)
        if found is None or (record := self._records.get(number)) is None:
            return None
        return record if found.is_of(length=part.length, crc32=record.crc32) else None

    def _copy_all(self, numbers: Sequence[int], item: int) -> list[PartRecord]:
        """Copy, as far as there is time."""
        began = self._clock()
        total = sum(self._plan.part(number).length for number in numbers)
        sent: deque[_Sent] = deque()
        copied: list[PartRecord] = []
        bytes_done = 0

        def settle() -> io.BytesIO:
            nonlocal bytes_done
            each = sent.popleft()
            each.uploaded.result()
            copied.append(each.record.result())
            bytes_done += each.part.length
            self._report(
                CopyProgress(
                    item=item,
                    bytes_added=each.part.length,
                    bytes_done=bytes_done,
                    bytes_total=total,
                    artifact_bytes=self._plan.total_bytes,
                    mb_per_second=round(bytes_done / _MEGABYTE / max(self._clock() - began, 1e-6), 1),
                    part=len(copied),
                    parts=len(numbers),
                )
            )
            return each.rendered.body

        with self._executor(1) as hashing, self._executor(1) as sending:
            try:
                for number in numbers:
                    buffer = settle() if len(sent) == BUFFERS else None
                    part = self._plan.part(number)
                    rendered = render(part, self._source, buffer=buffer)
                    sent.append(
                        _Sent(
                            part,
                            rendered,
                            hashing.submit(self._chain.add, part, rendered),
                            sending.submit(self._uploads[self._plan.object_of(number).name].put, rendered),
                        )
                    )
                while sent:
                    settle()
            except OutOfTimeError:
                while sent:
                    try:
                        settle()
                    except OutOfTimeError:
                        continue
            finally:
                self._chain.stop()
        return copied
