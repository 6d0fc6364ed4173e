"""The plan of an artifact: where every byte of it comes from, known before the first one moves.

A pure function of the files. The artifact is one S3 object or several, each of whole parts, which can be made
alone, in any order, by any worker: `model.tar.gz` is one object, a prefix has one for each file.

Parts are numbered over all objects. So are bytes of *payload*: the tar in the archive, or the files of a
prefix one after the other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from quant_llm_repack.archive import (
    BLOCK_BYTES,
    GZIP_HEADER,
    TRAILER_BYTES,
    end_of_tar,
    file_padding,
    framed_bytes,
    tar_header,
)
from quant_llm_repack.request import ArtifactRequest, SourceFile

MAX_PARTS = 10_000  # S3's limit for one object
BLOCKS_PER_PART = 1024  # 64 MiB: what a worker holds in memory, and far over S3's least part of 5 MiB
LEAST_BLOCKS = 80  # the fewest that S3 takes as a part which is not an object's last


@dataclass(frozen=True, slots=True)
class SourceRange:
    """Bytes `start` to `stop` (exclusive) of a file."""

    file: SourceFile
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the payload, from byte `offset` on: `header`, the file's bytes, `padding` zeros."""

    file: SourceFile
    offset: int
    header: bytes = b""
    padding: int = 0

    @property
    def data_offset(self) -> int:
        """Where in the payload the file's first byte is."""
        return self.offset + len(self.header)

    @property
    def end(self) -> int:
        """Where in the payload the next member begins."""
        return self.data_offset + self.file.size + self.padding

    def pieces(self, start: int, stop: int) -> Iterator[bytes | SourceRange]:
        """What makes bytes `start` to `stop` of the payload, as far as they are this member's."""
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
class PlannedObject:
    """An S3 object of `length` bytes: bytes `payload_start` to `payload_stop` of the payload.

    `name` is what its key has after the request's: nothing for the archive, the path for a file of a prefix;
    `files` are those in it. `parts` are the numbers of its parts, none for an object of no bytes, and
    `starts` is where in the payload each begins. With `is_framed` the object is a gzip member of stored
    blocks, without the payload as it is.
    """

    name: str
    files: tuple[SourceFile, ...]
    length: int
    payload_start: int
    payload_stop: int
    parts: range
    starts: Sequence[int]
    is_framed: bool = False

    def payload_from(self, number: int) -> int:
        """Where in the payload part `number` begins; the one after the last where the object ends."""
        index = number - self.parts.start
        return self.starts[index] if index < len(self.starts) else self.payload_stop


@dataclass(frozen=True, slots=True)
class Part:
    """One S3 part: bytes `payload_start` to `payload_stop` of the payload, framed where the object is.

    It is `length` bytes of its object from `object_start` on. `number` counts from 1 over all objects,
    `s3_number` within its own. A framed object's first part carries the gzip header, the last the gzip
    trailer: a part of its own would leave the one before it under S3's 5 MiB.
    """

    number: int
    s3_number: int
    is_last: bool
    is_framed: bool
    payload_start: int
    payload_stop: int
    object_start: int
    length: int
    pieces: tuple[bytes | SourceRange, ...]

    @property
    def payload_bytes(self) -> int:
        """Bytes of payload in this part."""
        return self.payload_stop - self.payload_start

    @property
    def continued(self) -> SourceRange | None:
        """The range of the file that goes over this part's start; None when there is no such file."""
        first = next((piece for piece in self.pieces if isinstance(piece, SourceRange)), None)
        return first if first and first.start else None


class Plan:
    """The layout of an artifact: its objects, and their parts."""

    def __init__(
        self,
        members: Iterable[Member],
        objects: Sequence[PlannedObject],
        *,
        part_payload: int,
        copied_parts: range,
    ) -> None:
        """`members` and `objects` in order of payload; a part has about `part_payload` bytes.

        `copied_parts` are those that the workers make; those after them are the finisher's.
        """
        self.members = tuple(members)
        self.objects = tuple(objects)
        self.part_payload = part_payload
        self.copied_parts = copied_parts
        self.part_count = self.objects[-1].parts.stop - 1
        self.total_bytes = sum(each.length for each in self.objects)
        self._offsets = [member.offset for member in self.members]
        self._first_parts = [each.parts.start for each in self.objects]

    def object_of(self, number: int) -> PlannedObject:
        """The object that part `number` is of; IndexError for a part that there is not."""
        if not 1 <= number <= self.part_count:
            raise IndexError(f"part must be 1 to {self.part_count}, got {number}")
        # Of objects that begin with the same part all but the last have none.
        return self.objects[bisect_right(self._first_parts, number) - 1]

    def part(self, number: int) -> Part:
        """Part `number`, from 1 to `part_count`; IndexError outside of them."""
        of = self.object_of(number)
        index = number - of.parts.start
        start, stop = of.payload_from(number), of.payload_from(number + 1)
        is_first, is_last = index == 0, number == of.parts.stop - 1
        object_start, length = start - of.payload_start, stop - start
        if of.is_framed:
            if not is_first:
                object_start = len(GZIP_HEADER) + framed_bytes(object_start)
            length = is_first * len(GZIP_HEADER) + framed_bytes(length) + is_last * TRAILER_BYTES
        return Part(
            number=number,
            s3_number=index + 1,
            is_last=is_last,
            is_framed=of.is_framed,
            payload_start=start,
            payload_stop=stop,
            object_start=object_start,
            length=length,
            pieces=tuple(self._pieces(start, stop)),
        )

    def parts(self) -> Iterator[Part]:
        """All parts in order."""
        return (self.part(number) for number in range(1, self.part_count + 1))

    def payload_stop(self, number: int) -> int:
        """The payload's bytes up to the end of part `number`; 0 for the part before the first."""
        return self.object_of(number).payload_from(number + 1) if number else 0

    def payload_bytes_of(self, number: int) -> int:
        """Bytes of payload in part `number`."""
        of = self.object_of(number)
        return of.payload_from(number + 1) - of.payload_from(number)

    def begun_in(self, number: int) -> int | None:
        """The part that has the first byte of the file that goes over the start of part `number`, if any."""
        begun = self._begun(number)
        if begun is None:
            return None
        of = self.object_of(number)
        return of.parts.start + bisect_right(of.starts, begun) - 1

    def parts_read_again(self, number: int) -> float:
        """How many parts' bytes a worker that begins with part `number` reads first, for hashing alone."""
        begun = self._begun(number)
        return 0.0 if begun is None else (self.payload_stop(number - 1) - begun) / self.part_payload

    def _begun(self, number: int) -> int | None:
        """Where in the payload the file begins that goes over the start of part `number`, if any does."""
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
        first_zero = max(start, self.members[-1].end)
        if first_zero < stop:
            yield bytes(stop - first_zero)


class ArchivePlan(Plan):
    """One object: the archive of the files, which stand in the order given."""

    def __init__(self, files: Iterable[SourceFile], *, blocks_per_part: int = BLOCKS_PER_PART) -> None:
        """Lay the files out; a part holds up to `blocks_per_part` blocks, more past S3's count of parts."""
        members = tuple(_tar_members(files))
        end = members[-1].end if members else 0
        self.payload_bytes = end + end_of_tar(end)
        blocks = -(-self.payload_bytes // BLOCK_BYTES)
        self.blocks_per_part = max(blocks_per_part, -(-blocks // (MAX_PARTS - 1)))
        starts = _first_blocks(members, blocks, self.blocks_per_part)
        if len(starts) > MAX_PARTS:
            starts = _first_blocks((), blocks, self.blocks_per_part)
        archive = PlannedObject(
            name="",
            files=tuple(member.file for member in members),
            length=len(GZIP_HEADER) + framed_bytes(self.payload_bytes) + TRAILER_BYTES,
            payload_start=0,
            payload_stop=self.payload_bytes,
            parts=range(1, len(starts) + 1),
            starts=[block * BLOCK_BYTES for block in starts],
            is_framed=True,
        )
        super().__init__(
            members,
            [archive],
            part_payload=self.blocks_per_part * BLOCK_BYTES,
            # The last one's trailer needs the CRC-32 of all others.
            copied_parts=archive.parts[:-1],
        )


def _first_blocks(members: Iterable[Member], blocks: int, most: int) -> list[int]:
    """The first block of each part, of `most` blocks at most, of an archive of so many blocks.

    Where a file of several parts begins, a part does, at the next block: its worker then has little of the
    file to read again for its hash. Nobody else works while the finisher makes the last part, so that is a
    single block. Neither is done where S3 would refuse the part before as too small.
    """
    if blocks <= most:
        return [0]
    least = min(LEAST_BLOCKS, most)
    edges = [0]
    for member in members:
        begun = -(-member.data_offset // BLOCK_BYTES)
        if member.file.size > most * BLOCK_BYTES and begun - edges[-1] >= least:
            edges.append(begun)
    if blocks - 1 - edges[-1] >= least:
        edges.append(blocks - 1)
    starts: list[int] = []
    for first, stop in pairwise([*edges, blocks]):
        count = -(-(stop - first) // most)
        starts += [first + (stop - first) * index // count for index in range(count)]
    return starts


class PrefixPlan(Plan):
    """An object for each file, with the file's bytes."""

    def __init__(self, files: Iterable[SourceFile], *, blocks_per_part: int = BLOCKS_PER_PART) -> None:
        """Lay the files out; a part is as long as `blocks_per_part` blocks, longer past S3's limit."""
        part_payload = blocks_per_part * BLOCK_BYTES
        members: list[Member] = []
        objects: list[PlannedObject] = []
        offset, part = 0, 1
        for file in files:
            members.append(Member(file, offset))
            own_payload = max(part_payload, -(-file.size // MAX_PARTS))
            end = offset + file.size
            starts = range(offset, end, own_payload)
            parts = range(part, part + len(starts))
            objects.append(PlannedObject(file.path, (file,), file.size, offset, end, parts, starts))
            offset, part = end, parts.stop
        super().__init__(members, objects, part_payload=part_payload, copied_parts=range(1, part))


def plan_of(request: ArtifactRequest, *, blocks_per_part: int = BLOCKS_PER_PART) -> Plan:
    """The plan of what a request asks for."""
    if request.is_prefix:
        return PrefixPlan(request.files, blocks_per_part=blocks_per_part)
    return ArchivePlan(request.files, blocks_per_part=blocks_per_part)


def _tar_members(files: Iterable[SourceFile]) -> Iterator[Member]:
    offset = 0
    for file in files:
        member = Member(file, offset, tar_header(file.path, file.size), file_padding(file.size))
        yield member
        offset = member.end
