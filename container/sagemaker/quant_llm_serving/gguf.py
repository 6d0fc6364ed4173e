"""Whether a file is a whole GGUF, told from its header alone.

The layout is that of ggml's `docs/gguf.md`: magic, version, counts, metadata, one description per tensor,
padding, and the tensors' data. A download that broke off, or an archive that was cut, ends before the last
tensor does.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from quant_llm_serving.errors import ModelError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS

# gguf_metadata_value_type -> bytes a value takes.
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32 = 4
_STRING = 8
_ARRAY = 9

# ggml_type -> (values in a block, bytes of a block), from ggml's type traits.
TENSOR_TYPES = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 40),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
    40: (64, 36),
    41: (128, 18),
}


def check_gguf(path: Path) -> None:
    """Read the header of `path`; a type of tensor that is newer than this table is passed over.

    Raises ModelError if the file can't be read, is not a GGUF, or ends before its last tensor.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if (start := file.read(len(_MAGIC))) != _MAGIC:
                raise ModelError(f"{path} is not a GGUF file: it starts with {start!r}, expected {_MAGIC!r}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                end = _Header(content, path).data_end()
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
    except (struct.error, OverflowError):
        raise ModelError(f"{path} is truncated: it ends after {size} bytes, within its header") from None
    if end > size:
        raise ModelError(f"{path} is truncated: it has {size} bytes, its tensors need {end}")


class _Header:
    """A walk over the header."""

    def __init__(self, content: mmap.mmap, path: Path) -> None:
        self._content = content
        self._path = path
        self._position = len(_MAGIC)
        self._alignment = _DEFAULT_ALIGNMENT

    def data_end(self) -> int:
        """The least size of the whole file, in bytes."""
        (version,) = self._read("<I")
        if version not in _VERSIONS:
            expected = " or ".join(map(str, _VERSIONS))
            raise ModelError(f"{self._path} has GGUF version {version}, expected {expected}")
        tensors, entries = self._read("<QQ")
        for _ in range(entries):
            self._entry()
        ends = [self._tensor() for _ in range(tensors)]
        padding = -self._position % self._alignment
        return self._position + (padding + max(ends) if ends else 0)

    def _read(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._content, self._position)
        self._position += struct.calcsize(layout)
        return values

    def _string(self) -> bytes:
        (length,) = self._read("<Q")
        self._position += length
        return self._content[self._position - length : self._position]

    def _entry(self) -> None:
        key = self._string()
        (kind,) = self._read("<I")
        if not key:  # zeros: room that a broken download left
            raise ModelError(f"{self._path} is damaged: a value without a name before byte {self._position}")
        if key == b"general.alignment" and kind == _UINT32:
            (alignment,) = self._read("<I")
            self._alignment = max(1, alignment)
        else:
            self._skip(kind)

    def _skip(self, kind: int) -> None:
        count = 1
        if kind == _ARRAY:
            kind, count = self._read("<IQ")
        if kind == _STRING:
            for _ in range(count):
                (length,) = self._read("<Q")
                self._position += length
        elif kind in _VALUE_BYTES:
            self._position += count * _VALUE_BYTES[kind]
        else:
            raise ModelError(
                f"{self._path} is damaged: unknown type {kind} of a value at byte {self._position}"
            )

    def _tensor(self) -> int:
        """Where this tensor ends, in bytes from the start of the data."""
        name = self._string()
        (dimensions,) = self._read("<I")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise ModelError(f"{self._path} is damaged: tensor {name!r} has {dimensions} dimensions")
        values = 1
        for length in self._read(f"<{dimensions}Q"):
            values *= length
        kind, offset = self._read("<IQ")
        in_block, block_bytes = TENSOR_TYPES.get(kind, (1, 0))
        return offset + values // in_block * block_bytes
