"""Publishes an archive whose parts are all there: the last check, the last part, the object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import reduce

from quant_llm_repack.crc32 import crc32_combine
from quant_llm_repack.errors import MismatchError, StoreError
from quant_llm_repack.hash_chain import HashChain
from quant_llm_repack.plan import ArchivePlan
from quant_llm_repack.records import PartRecord, Records
from quant_llm_repack.render import Source, render
from quant_llm_repack.store import Upload, UploadedPart
from quant_llm_repack.verify import require_sha256

READERS = 16  # records read at a time: there are up to 9,999


def publish(
    plan: ArchivePlan,
    *,
    source: Source,
    upload: Upload,
    records: Records,
    chain: HashChain,
    executor: Callable[[int], Executor],
) -> None:
    """Verify every file, make the last part and complete the upload.

    MismatchError when a file isn't the lock's or two workers saw different bytes of one; StoreError when a
    part is missing or S3 has other bytes than those that were hashed. Nothing is visible then.
    """
    with executor(READERS) as reading:
        of_items = records.of_items(reading)
    # One by one where an item was dealt in another way, by an earlier execution or version.
    copied = [
        of_items.get(number) or _present(number, records.get(number)) for number in range(1, plan.part_count)
    ]
    listed = upload.listed()
    uploaded = []
    for record in copied:
        length = plan.part(record.number).length
        part = listed.get(record.number)
        if part is None or not part.is_of(length=length, crc32=record.crc32):
            raise StoreError(f"part {record.number} of the upload is not what was hashed; deploy again")
        uploaded.append(UploadedPart(record.number, part.etag, record.crc32, length))

    last = plan.part(plan.part_count)
    tar_crc32 = reduce(
        lambda crc, record: crc32_combine(crc, record.payload_crc32, plan.part(record.number).payload_bytes),
        copied,
        0,
    )
    rendered = render(last, source, crc32_before=tar_crc32)
    copied.append(chain.add(last, rendered))
    require_verified(plan, copied)
    upload.complete([*uploaded, upload.put(rendered)])


def _present(number: int, record: PartRecord | None) -> PartRecord:
    if record is None:
        raise StoreError(f"part {number} was not copied; deploy again")
    return record


def require_verified(plan: ArchivePlan, records: Sequence[PartRecord]) -> None:
    """Raise MismatchError unless the records of all parts prove every file's sha256.

    A file's hash was computed over one sequence of bytes when each part went on from what the part before
    ended with; then the sha256 at the file's end is that of the bytes in the archive.
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
    for member in plan.members:
        if member.file.size:
            if member.file.path not in sha256:
                raise MismatchError(f"{member.file.path}: its sha256 was not verified")
            require_sha256(member.file, sha256[member.file.path])
