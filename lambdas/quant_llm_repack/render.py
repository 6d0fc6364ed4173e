"""Makes one part of the archive in memory, from byte ranges of the source."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from quant_llm_repack.archive import (
    BLOCK_BYTES,
    BLOCK_HEADER_BYTES,
    GZIP_HEADER,
    TRAILER_BYTES,
    block_header,
    gzip_trailer,
)
from quant_llm_repack.crc32 import crc32_combine
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

    `tar_crc32` is right when the CRC-32 of the tar before the part was given to `render`.
    """

    number: int
    body: io.BytesIO
    length: int
    crc32: int
    tar_crc32: int


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
        if part.is_last:
            view[-TRAILER_BYTES:] = gzip_trailer(tar_crc32, part.payload_stop)
        crc32 = zlib.crc32(view)
    body.seek(0)
    return RenderedPart(part.number, body, part.length, crc32, tar_crc32)


def _sized(body: io.BytesIO, length: int) -> io.BytesIO:
    """The body with `length` bytes. A file is sent in small writes, each with its own time-out."""
    body.truncate(length)
    body.seek(length - 1)
    body.write(b"\0")  # truncate does not lengthen
    return body


class _Frame:
    """A part's bytes, with the block headers in place and the payload to be filled in between them."""

    def __init__(self, part: Part, view: memoryview) -> None:
        self.crc32 = 0  # of the payload written
        self._written = 0
        self._payload_bytes = part.payload_bytes
        self._prefix_bytes = len(GZIP_HEADER) if part.number == 1 else 0
        self._view = view
        self._view[: self._prefix_bytes] = GZIP_HEADER[: self._prefix_bytes]
        for start in range(0, self._payload_bytes, BLOCK_BYTES):
            position = self._position(start) - BLOCK_HEADER_BYTES
            header = block_header(min(BLOCK_BYTES, self._payload_bytes - start))
            self._view[position : position + BLOCK_HEADER_BYTES] = header

    def _position(self, payload: int) -> int:
        """Where in the part the payload's byte stands."""
        return self._prefix_bytes + payload + BLOCK_HEADER_BYTES * (payload // BLOCK_BYTES + 1)

    def write(self, data: bytes) -> None:
        """Add payload."""
        if self._written + len(data) > self._payload_bytes:
            raise ValueError(f"the source gave more than the part's {self._payload_bytes} bytes")
        self.crc32 = zlib.crc32(data, self.crc32)
        rest = memoryview(data)
        while rest:
            room = BLOCK_BYTES - self._written % BLOCK_BYTES
            piece, rest = rest[:room], rest[room:]
            position = self._position(self._written)
            self._view[position : position + len(piece)] = piece
            self._written += len(piece)

    def require_full(self) -> None:
        """ValueError when payload is missing."""
        if self._written != self._payload_bytes:
            raise ValueError(f"the source gave {self._written} of the part's {self._payload_bytes} bytes")
