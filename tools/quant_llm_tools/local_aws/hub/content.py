"""The bytes of a repository's files: given, on disk, or generated from a true header on the fly.

Any range can be rendered without the rest, so a file of 40 GB costs nothing until it is read.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 1 << 20

# A prime, so that no part size divides it: bytes put at the wrong multiple of a part are always wrong bytes.
NOISE_PERIOD = 1_048_573
NOISE_SEED = 20_240_601


class Content(Protocol):
    """Bytes with a known size, readable from any position."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def chunks(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `end` (exclusive, at most `size`) in pieces of at most `CHUNK_BYTES`."""
        ...


@dataclass(frozen=True)
class BytesContent:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def chunks(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `end`."""
        view = memoryview(self.data)
        for position in range(start, end, CHUNK_BYTES):
            yield view[position : min(position + CHUNK_BYTES, end)]


@dataclass(frozen=True)
class FileContent:
    """A file on disk."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.path.stat().st_size

    def chunks(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `end`."""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                piece = file.read(min(CHUNK_BYTES, end - start))
                start += len(piece)
                yield piece


@functools.cache
def _noise() -> memoryview:
    """One period of noise and as much again, so that a chunk from any phase is one slice."""
    period = random.Random(NOISE_SEED).randbytes(NOISE_PERIOD)  # noqa: S311 - stand-in weights, no secret
    return memoryview(period + period)


@dataclass(frozen=True)
class GeneratedContent:
    """A true header, then noise that depends on `seed` and the position alone.

    `make_header` is called when the header is first needed: that of a large model has 100,000 entries, and
    the stand-in starts with many models.
    """

    make_header: Callable[[], bytes] = field(repr=False)
    body_bytes: int
    seed: int

    @functools.cached_property
    def header(self) -> bytes:
        """The bytes before the weights."""
        return self.make_header()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.header) + self.body_bytes

    def chunks(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `end`."""
        yield from BytesContent(self.header).chunks(start, min(end, len(self.header)))
        noise = _noise()
        position = max(start, len(self.header))
        while position < end:
            phase = (position + self.seed) % NOISE_PERIOD
            length = min(NOISE_PERIOD, CHUNK_BYTES, end - position)
            yield noise[phase : phase + length]
            position += length


def read(content: Content, start: int, end: int) -> bytes:
    """The bytes from `start` to `end` as one object."""
    return b"".join(content.chunks(start, end))
