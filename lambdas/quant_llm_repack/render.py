"""Makes one part of the archive in memory, from byte ranges of the source."""

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


class Source(Protocol):
    """Where the files' bytes come from."""

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) of `file`, in chunks, exactly."""
        ...


@dataclass(frozen=True, slots=True)
class RenderedPart:
    """The bytes of a part, with the CRC-32 of them (`crc32`) and of the tar up to their end (`tar_crc32`).

    `payload_crc32` is that of the part's bytes of the tar alone. `tar_crc32` is right when the CRC-32 of the
    tar before the part was given to `render`.
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
    """Read the part's ranges from `source` and frame them.

    `crc32_before` is the CRC-32 of the tar's bytes before this part. Only the last part's bytes depend on it,
    so that the other parts can be made before it is known. `buffer` is the body of a part that is done
    with, to be filled anew: fresh memory for each part would cost as much time as hashing it.
    """
    body = _sized(buffer or io.BytesIO(), part.length)
    with body.getbuffer() as view:
        frame = _Frame(part, view)
        for piece in part.pieces:
            if isinstance(piece, SourceRange):
                for chunk in source.read(piece.file, piece.start, piece.stop):
                    frame.write(chunk)
            else:
                frame.write(piece)
        frame.require_full()
        tar_crc32 = crc32_combine(crc32_before, frame.crc32, part.payload_bytes)
        crc32 = frame.framed_crc32
        if part.is_last:
            trailer = gzip_trailer(tar_crc32, part.payload_stop)
            view[-TRAILER_BYTES:] = trailer
            crc32 = zlib.crc32(trailer, crc32)
    body.seek(0)
    return RenderedPart(part.number, body, part.length, crc32, tar_crc32, frame.crc32)


def _sized(body: io.BytesIO, length: int) -> io.BytesIO:
    """The body with `length` bytes. A file is sent in small writes, each with its own time-out."""
    body.truncate(length)
    body.seek(length - 1)
    body.write(b"\0")  # truncate does not lengthen
    return body


def payload_slices(part: Part, view: memoryview, start: int, stop: int) -> Iterator[memoryview]:
    """Bytes `start` to `stop` of a rendered part's payload, without copying them, between block headers."""
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
        self._block_crc32 = 0
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
            self._block_crc32 = zlib.crc32(piece, self._block_crc32)
            self._written += len(piece)
            if len(piece) == room or self._written == self._payload_bytes:
                self._end_block()

    def _end_block(self) -> None:
        length = (self._written - 1) % BLOCK_BYTES + 1
        header = block_header(length)
        position = _position(self._part, self._written - length)
        self._view[position - BLOCK_HEADER_BYTES : position] = header
        combine = _combine_block if length == BLOCK_BYTES else partial(crc32_combine, second_bytes=length)
        self.crc32 = combine(self.crc32, self._block_crc32)
        self.framed_crc32 = combine(zlib.crc32(header, self.framed_crc32), self._block_crc32)
        self._block_crc32 = 0

    def require_full(self) -> None:
        """ValueError when payload is missing."""
        if self._written != self._payload_bytes:
            raise ValueError(f"the source gave {self._written} of the part's {self._payload_bytes} bytes")
