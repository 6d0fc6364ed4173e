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
    """The bytes of a part, and the CRC-32 of them (`crc32`) and of the tar up to the part's end (`tar_crc32`).

    `tar_crc32` is right when the CRC-32 of the tar before the part was given to `render`.
    """

    number: int
    body: io.BytesIO
    length: int
    crc32: int
    tar_crc32: int


def render(part: Part, source: Source, *, crc32_before: int = 0) -> RenderedPart:
    """Read the part's ranges from `source` and frame them.

    `crc32_before` is the CRC-32 of the tar's bytes before this part. Only the last part's bytes depend on it, so that
    the other parts can be made before it is known.
    """
    frame = _Frame(part)
    for piece in part.pieces:
        if isinstance(piece, SourceRange):
            for chunk in source.read(piece.file, piece.start, piece.stop):
                frame.write(chunk)
        else:
            frame.write(piece)
    tar_crc32 = crc32_combine(crc32_before, frame.crc32, part.payload_bytes)
    body = frame.close(gzip_trailer(tar_crc32, part.payload_stop) if part.is_last else b"")
    with body.getbuffer() as view:
        crc32 = zlib.crc32(view)
    return RenderedPart(part.number, body, part.length, crc32, tar_crc32)


class _Frame:
    """A part's buffer, with the block headers in place and the payload filled in between them."""

    def __init__(self, part: Part) -> None:
        self.crc32 = 0  # of the payload written
        self._written = 0
        self._payload_bytes = part.payload_bytes
        self._prefix = GZIP_HEADER if part.number == 1 else b""
        self._body = io.BytesIO()
        # A file-like body is sent in small writes, each with its own timeout; this gives it its size at once.
        self._body.seek(part.length - 1)
        self._body.write(b"\0")
        self._view = self._body.getbuffer()
        self._view[: len(self._prefix)] = self._prefix
        for start in range(0, self._payload_bytes, BLOCK_BYTES):
            position = self._position(start) - BLOCK_HEADER_BYTES
            header = block_header(min(BLOCK_BYTES, self._payload_bytes - start))
            self._view[position : position + BLOCK_HEADER_BYTES] = header

    def _position(self, payload: int) -> int:
        """Where in the part the payload's byte stands."""
        return len(self._prefix) + payload + BLOCK_HEADER_BYTES * (payload // BLOCK_BYTES + 1)

    def write(self, data: bytes) -> None:
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

    def close(self, trailer: bytes) -> io.BytesIO:
        if self._written != self._payload_bytes:
            raise ValueError(f"the source gave {self._written} of the part's {self._payload_bytes} bytes")
        if trailer:
            self._view[-TRAILER_BYTES:] = trailer
        self._view.release()
        self._body.seek(0)
        return self._body
