"""Makes one part of an object in memory, from byte ranges of the source."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from quant_llm_repack.archive import (
    BLOCK_BYTES,
    BLOCK_HEADER_BYTES,
    GZIP_HEADER,
    TRAILER_BYTES,
    block_header,
    gzip_trailer,
)
from quant_llm_repack.crc32 import crc32_combine, crc32_combiner
from quant_llm_repack.plan import Part, SourceRange
from quant_llm_repack.request import SourceFile

_SENT_AT_ONCE_BYTES = 1 << 20


class Source(Protocol):
    """Where the files' bytes come from."""

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) of `file`, in chunks, exactly."""
        ...


class PartBody(io.BytesIO):
    """A part's bytes, which are read a MiB at a time: urllib3 asks for 16 KiB, and sends what it gets.

    That costs a part a third less processor time, and the other threads fewer waits for the interpreter's
    lock. Each MiB still has a time-out of its own, which the part sent as one `bytes` would not.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """`size` bytes, and at least a MiB, as far as there are so many; all of them without `size`."""
        return super().read(size if size is None or size < 0 else max(size, _SENT_AT_ONCE_BYTES))


@dataclass(frozen=True, slots=True)
class RenderedPart:
    """The bytes of a part, with the CRC-32 of them (`crc32`) and of the tar up to their end (`tar_crc32`).

    `number` is S3's, `payload_crc32` that of the part's payload alone. `tar_crc32` is right when the CRC-32
    of the tar before the part was given to `render`, and has no meaning for a part that is not framed.
    """

    number: int
    body: io.BytesIO
    length: int
    crc32: int
    tar_crc32: int
    payload_crc32: int = 0


def render(
    part: Part, source: Source, *, crc32_before: int = 0, buffer: io.BytesIO | None = None
) -> RenderedPart:
    """Read the part's ranges from `source` and frame them, where its object is framed.

    `crc32_before` is the CRC-32 of the tar's bytes before this part. Only the last part's bytes depend on it,
    so that the other parts can be made before it is known. `buffer` is the body of a part that is done
    with, to be filled anew: fresh memory for each part would cost as much time as hashing it.
    """
    body = _sized(buffer or PartBody(), part.length)
    if not part.is_framed:
        return _render_plain(part, source, body)
    with body.getbuffer() as view:
        frame = _Frame(part, view)
        for data in _payload(part, source):
            frame.write(data)
        frame.require_full()
        tar_crc32 = crc32_combine(crc32_before, frame.crc32, part.payload_bytes)
        crc32 = frame.framed_crc32
        if part.is_last:
            trailer = gzip_trailer(tar_crc32, part.payload_stop)
            view[-TRAILER_BYTES:] = trailer
            crc32 = zlib.crc32(trailer, crc32)
    body.seek(0)
    return RenderedPart(part.s3_number, body, part.length, crc32, tar_crc32, frame.crc32)


def _render_plain(part: Part, source: Source, body: io.BytesIO) -> RenderedPart:
    """A part of a file as it is."""
    crc32 = written = 0
    with body.getbuffer() as view:
        for data in _payload(part, source):
            if written + len(data) > part.length:
                raise ValueError(f"the source gave more than the part's {part.length} bytes")
            view[written : written + len(data)] = data
            crc32 = zlib.crc32(data, crc32)
            written += len(data)
    if written != part.length:
        raise ValueError(f"the source gave {written} of the part's {part.length} bytes")
    body.seek(0)
    return RenderedPart(part.s3_number, body, part.length, crc32, tar_crc32=0, payload_crc32=crc32)


def _payload(part: Part, source: Source) -> Iterator[bytes]:
    for piece in part.pieces:
        if isinstance(piece, SourceRange):
            yield from source.read(piece.file, piece.start, piece.stop)
        else:
            yield piece


def _sized(body: io.BytesIO, length: int) -> io.BytesIO:
    """The body with `length` bytes."""
    body.truncate(length)
    body.seek(length - 1)
    body.write(b"\0")  # truncate does not lengthen
    return body


def payload_slices(part: Part, view: memoryview, start: int, stop: int) -> Iterator[memoryview]:
    """Bytes `start` to `stop` of a rendered part's payload, without copying them, between block headers."""
    if not part.is_framed:
        yield view[start:stop]
        return
    while start < stop:
        length = min(BLOCK_BYTES - start % BLOCK_BYTES, stop - start)
        position = _position(part, start)
        yield view[position : position + length]
        start += length


def _position(part: Part, payload: int) -> int:
    """Where in the part the payload's byte stands."""
    prefix = len(GZIP_HEADER) if part.number == 1 else 0
    return prefix + payload + BLOCK_HEADER_BYTES * (payload // BLOCK_BYTES + 1)


_combine_block = crc32_combiner(BLOCK_BYTES)


class _Frame:
    """A part's bytes, filled block by block.

    The CRC-32 of the payload and that of the framed bytes are both combined from the blocks' own: hashing
    the bytes once in place of twice.
    """

    def __init__(self, part: Part, view: memoryview) -> None:
        self.crc32 = 0  # of the payload of the blocks that are full
        self.framed_crc32 = 0  # of the same with all that stands before
        self._written = 0
        self._payload_bytes = part.payload_bytes
        self._part = part
        self._view = view
        if part.number == 1:
            self._view[: len(GZIP_HEADER)] = GZIP_HEADER
            self.framed_crc32 = zlib.crc32(GZIP_HEADER)

    def write(self, data: bytes) -> None:
        """Add payload."""
        if self._written + len(data) > self._payload_bytes:
            raise ValueError(f"the source gave more than the part's {self._payload_bytes} bytes")
        rest = memoryview(data)
        while rest:
            room = BLOCK_BYTES - self._written % BLOCK_BYTES
            piece, rest = rest[:room], rest[room:]
            position = _position(self._part, self._written)
            self._view[position : position + len(piece)] = piece
            self._written += len(piece)
            if len(piece) == room or self._written == self._payload_bytes:
                self._end_block()

    def _end_block(self) -> None:
        length = (self._written - 1) % BLOCK_BYTES + 1
        header = block_header(length)
        position = _position(self._part, self._written - length)
        self._view[position - BLOCK_HEADER_BYTES : position] = header
        crc32 = zlib.crc32(self._view[position : position + length])
        combine = _combine_block if length == BLOCK_BYTES else partial(crc32_combine, second_bytes=length)
        self.crc32 = combine(self.crc32, crc32)
        self.framed_crc32 = combine(zlib.crc32(header, self.framed_crc32), crc32)

    def require_full(self) -> None:
        """ValueError when payload is missing."""
        if self._written != self._payload_bytes:
            raise ValueError(f"the source gave {self._written} of the part's {self._payload_bytes} bytes")
