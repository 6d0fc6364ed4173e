"""The plan of an archive: where every byte of it comes from, known before the first one moves.

A pure function of the files. Each part is a whole S3 part that can be made alone, in any order, by any
worker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from quant_llm_repack.archive import (
    BLOCK_BYTES,
    BLOCK_HEADER_BYTES,
    GZIP_HEADER,
    TRAILER_BYTES,
    end_of_tar,
    file_padding,
    framed_bytes,
    tar_header,
)
from quant_llm_repack.request import SourceFile

MAX_PARTS = 10_000  # S3's limit for one object
BLOCKS_PER_PART = 1024  # 64 MiB: what a worker holds in memory, and far over S3's least part of 5 MiB


@dataclass(frozen=True, slots=True)
class SourceRange:
    """Bytes `start` to `stop` (exclusive) of a file."""

    file: SourceFile
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the tar, whose header begins at byte `offset` of the tar."""

    file: SourceFile
    offset: int
    header: bytes

    @property
    def data_offset(self) -> int:
        """Where in the tar the file's first byte is."""
        return self.offset + len(self.header)

    @property
    def end(self) -> int:
        """Where in the tar the next member begins."""
        return self.data_offset + self.file.size + file_padding(self.file.size)

    def pieces(self, start: int, stop: int) -> Iterator[bytes | SourceRange]:
        """What makes bytes `start` to `stop` of the tar, as far as they are this member's."""
        data_end = self.data_offset + self.file.size
        if header := self.header[max(start - self.offset, 0) : max(stop - self.offset, 0)]:
            yield header
        first, last = max(start, self.data_offset), min(stop, data_end)
        if first < last:
            yield SourceRange(self.file, first - self.data_offset, last - self.data_offset)
        first, last = max(start, data_end), min(stop, self.end)
        if first < last:
            yield bytes(last - first)


@dataclass(frozen=True, slots=True)
class Part:
    """One S3 part: bytes `payload_start` to `payload_stop` of the tar, framed.

    It is `length` bytes of the archive from `archive_start` on. `number` counts from 1. The first part
    carries the gzip header, the last the gzip trailer: a part of its own would leave the one before it under
    S3's 5 MiB.
    """

    number: int
    is_last: bool
    payload_start: int
    payload_stop: int
    archive_start: int
    length: int
    pieces: tuple[bytes | SourceRange, ...]

    @property
    def payload_bytes(self) -> int:
        """Bytes of the tar in this part."""
        return self.payload_stop - self.payload_start

    @property
    def continued(self) -> SourceRange | None:
        """The range of the file that goes over this part's start; None when there is no such file."""
        first = next((piece for piece in self.pieces if isinstance(piece, SourceRange)), None)
        return first if first and first.start else None


class ArchivePlan:
    """The layout of the archive of some files, which stand in the order given."""

    def __init__(self, files: Iterable[SourceFile], *, blocks_per_part: int = BLOCKS_PER_PART) -> None:
        """Lay the files out; a part holds `blocks_per_part` stored blocks, more past S3's count of parts."""
        self.members = tuple(_members(files))
        self._offsets = [member.offset for member in self.members]
        self._members_end = self.members[-1].end if self.members else 0
        self.payload_bytes = self._members_end + end_of_tar(self._members_end)
        self.archive_bytes = len(GZIP_HEADER) + framed_bytes(self.payload_bytes) + TRAILER_BYTES
        blocks = -(-self.payload_bytes // BLOCK_BYTES)
        self.blocks_per_part = max(blocks_per_part, -(-blocks // MAX_PARTS))
        self.part_count = -(-blocks // self.blocks_per_part)

    def part(self, number: int) -> Part:
        """Part `number`, from 1 to `part_count`; IndexError outside of them."""
        if not 1 <= number <= self.part_count:
            raise IndexError(f"part must be 1 to {self.part_count}, got {number}")
        full = self.blocks_per_part * BLOCK_BYTES
        start, stop = (number - 1) * full, min(number * full, self.payload_bytes)
        is_first, is_last = number == 1, number == self.part_count
        blocks_before = (number - 1) * self.blocks_per_part
        return Part(
            number=number,
            is_last=is_last,
            payload_start=start,
            payload_stop=stop,
            archive_start=0
            if is_first
            else len(GZIP_HEADER) + blocks_before * (BLOCK_BYTES + BLOCK_HEADER_BYTES),
            length=is_first * len(GZIP_HEADER) + framed_bytes(stop - start) + is_last * TRAILER_BYTES,
            pieces=tuple(self._pieces(start, stop)),
        )

    def parts(self) -> Iterator[Part]:
        """All parts in order."""
        return (self.part(number) for number in range(1, self.part_count + 1))

    def payload_stop(self, number: int) -> int:
        """The tar's bytes up to the end of part `number`; 0 for the part before the first."""
        return min(number * self.blocks_per_part * BLOCK_BYTES, self.payload_bytes)

    def begun_in(self, number: int) -> int | None:
        """The part that has the first byte of the file that goes over the start of part `number`, if any."""
        begun = self._begun(number)
        return None if begun is None else begun // (self.blocks_per_part * BLOCK_BYTES) + 1

    def parts_read_again(self, number: int) -> float:
        """How many parts' bytes a worker that begins with part `number` reads first, for hashing alone."""
        begun = self._begun(number)
        if begun is None:
            return 0.0
        return (self.payload_stop(number - 1) - begun) / (self.blocks_per_part * BLOCK_BYTES)

    def _begun(self, number: int) -> int | None:
        """Where in the tar the file begins that goes over the start of part `number`, if any does."""
        start = self.payload_stop(number - 1)
        member = self.members[max(bisect_right(self._offsets, start) - 1, 0)]
        is_over_start = member.data_offset < start < member.data_offset + member.file.size
        return member.data_offset if is_over_start else None

    def _pieces(self, start: int, stop: int) -> Iterator[bytes | SourceRange]:
        first = max(bisect_right(self._offsets, start) - 1, 0)
        for member in islice(self.members, first, None):
            if member.offset >= stop:
                return
            yield from member.pieces(start, stop)
        first_zero = max(start, self._members_end)
        if first_zero < stop:
            yield bytes(stop - first_zero)


def _members(files: Iterable[SourceFile]) -> Iterator[Member]:
    offset = 0
    for file in files:
        member = Member(file, offset, tar_header(file.path, file.size))
        yield member
        offset = member.end
