"""Reads the header of a GGUF file, by ranges, without the weights behind it.

A header holds everything that sizing needs: the architecture's dimensions and the list of tensors. Most of
its bytes are the tokenizer's vocabulary (1.8 MB for SmolLM2), which is walked over and not kept. The file
comes from the internet, so every length and count in it is checked against what is left of the file before it
is believed, and nothing is allocated by a number that the file states.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.gguf_types import TENSOR_TYPES, TensorType

MAX_HEADER_BYTES = 64 * 2**20
MAX_METADATA_ENTRIES = 10_000
MAX_TENSORS = 200_000
MAX_KEPT_STRING_BYTES = 4096
MAX_KEPT_ARRAY_ELEMENTS = 1024
MAX_NAME_BYTES = 1024
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS

FIRST_READ_BYTES = 256 * 2**10
LARGEST_READ_BYTES = 4 * 2**20

DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class GgufError(QuantLlmError):
    """The bytes are not the header of a GGUF file that this reader, and llama.cpp, can read."""


@dataclass(frozen=True)
class GgufArray:
    """An array of the metadata: how long it is, and its elements where it is short and holds numbers."""

    length: int
    values: tuple[int | float | bool, ...] | None


GgufValue = int | float | bool | str | GgufArray


@dataclass(frozen=True)
class GgufTensor:
    """One tensor: its name, its dimensions (the contiguous one first), and where its data starts."""

    name: str
    dimensions: tuple[int, ...]
    type: TensorType
    offset: int

    @property
    def elements(self) -> int:
        """Number of weights in the tensor."""
        return math.prod(self.dimensions)

    @property
    def size(self) -> int:
        """Bytes of the tensor's data."""
        return self.elements // self.type.block_elements * self.type.block_bytes


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the weights, less the strings over 4 KiB and the elements of long arrays."""

    version: int
    metadata: Mapping[str, GgufValue]
    tensors: tuple[GgufTensor, ...]


def read_gguf_header(read: Callable[[int, int], bytes], file_size: int) -> GgufHeader:
    """Read the header of a GGUF file of `file_size` bytes.

    `read(start, end)` gives the bytes of that range, `end` not included; it is never asked for more than 4
    MiB, or for bytes past the end of the file. GgufError when the header is damaged, or describes more
    weights than the file has room for.
    """
    cursor = _Cursor(read, file_size)
    magic = cursor.take(4)
    if magic != b"GGUF":
        raise GgufError(f"not a GGUF file: it starts with {magic!r}, expected b'GGUF'")
    version = cursor.unsigned(_U32)
    if version not in (2, 3):
        hint = " (big-endian files are not supported)" if version in (2 << 24, 3 << 24) else ""
        raise GgufError(f"GGUF version {version} is not supported, expected 2 or 3{hint}")
    tensor_count = cursor.count("tensors", MAX_TENSORS)
    metadata_count = cursor.count("metadata entries", MAX_METADATA_ENTRIES)
    metadata: dict[str, GgufValue] = {}
    for _ in range(metadata_count):
        key = cursor.name("metadata key")
        if key in metadata:
            raise GgufError(f"the metadata key {key!r} stands twice in the header")
        metadata[key] = cursor.value(key)
    tensors = tuple(_read_tensor(cursor) for _ in range(tensor_count))
    _check_weights(metadata, tensors, cursor.position, file_size)
    return GgufHeader(version, metadata, tensors)


def _read_tensor(cursor: _Cursor) -> GgufTensor:
    name = cursor.name("tensor name")
    dimension_count = cursor.unsigned(_U32)
    if not 1 <= dimension_count <= MAX_DIMENSIONS:
        raise GgufError(
            f"the tensor {name!r} has {dimension_count} dimensions, expected 1 to {MAX_DIMENSIONS}"
        )
    dimensions = tuple(cursor.unsigned(_U64) for _ in range(dimension_count))
    type_number = cursor.unsigned(_U32)
    tensor_type = TENSOR_TYPES.get(type_number)
    if tensor_type is None:
        raise GgufError(f"the tensor {name!r} has the unknown type {type_number}")
    if 0 in dimensions or dimensions[0] % tensor_type.block_elements:
        raise GgufError(
            f"the tensor {name!r} of type {tensor_type.name} has rows of {dimensions[0]} elements, "
            f"expected a multiple of {tensor_type.block_elements}"
        )
    return GgufTensor(name, dimensions, tensor_type, cursor.unsigned(_U64))


def _check_weights(
    metadata: Mapping[str, GgufValue], tensors: tuple[GgufTensor, ...], header_end: int, file_size: int
) -> None:
    """A file that was cut off has a whole header; only the place of its last tensor shows that."""
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise GgufError("two tensors in the header have the same name")
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise GgufError(f"general.alignment is {alignment!r}, expected a positive number")
    if tensors:  # the first file of a shard set may have none
        data_start = -(-header_end // alignment) * alignment
        needed = data_start + max(tensor.offset + tensor.size for tensor in tensors)
        if needed > file_size:
            raise GgufError(
                f"the file is cut off: its header describes {needed:,} bytes, it has {file_size:,}"
            )


class _Cursor:
    """Walks over a file that is read in growing pieces, and never past the end of the file or the limit."""

    def __init__(self, read: Callable[[int, int], bytes], file_size: int) -> None:
        self._read = read
        self._end = min(file_size, MAX_HEADER_BYTES)
        self._buffer = b""
        self._buffer_start = 0
        self._next_read = FIRST_READ_BYTES
        self.position = 0

    def take(self, length: int) -> bytes:
        """The next `length` bytes; the caller has bounded `length`."""
        start = self._advance(length)
        if start < self._buffer_start or start + length > self._buffer_start + len(self._buffer):
            self._fill(start, length)
        offset = start - self._buffer_start
        return self._buffer[offset : offset + length]

    def unsigned(self, layout: struct.Struct) -> int:
        """The next unsigned integer, of 32 or 64 bits."""
        value: int = layout.unpack(self.take(layout.size))[0]
        return value

    def count(self, what: str, limit: int) -> int:
        """The next 64-bit number, which says how many of something follow."""
        number = self.unsigned(_U64)
        if number > limit:
            raise GgufError(f"the header states {number:,} {what}, at most {limit:,} are believed")
        return number

    def name(self, what: str) -> str:
        """The next string, which names something: short, and UTF-8."""
        data = self.take(self.count(f"bytes of a {what}", MAX_NAME_BYTES))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise GgufError(f"a {what} is not UTF-8: {data[:64]!r}") from None

    def value(self, key: str) -> GgufValue:
        """The next metadata value, its type first."""
        value_type = self.unsigned(_U32)
        if value_type == _STRING:
            return self._string()
        if value_type == _ARRAY:
            return self._array(key)
        return self._numbers(self._layout(key, value_type), 1)[0]

    def _string(self) -> str:
        length = self.unsigned(_U64)
        if length > MAX_KEPT_STRING_BYTES:
            self._advance(length)
            return ""
        # A chat template or a name with a damaged character is no reason to refuse the weights.
        return self.take(length).decode(errors="replace")

    def _array(self, key: str) -> GgufArray:
        element_type = self.unsigned(_U32)
        length = self.unsigned(_U64)
        if element_type == _STRING:
            for _ in range(length):  # ends at the end of the file at the latest: each round moves 8 bytes on
                self._advance(self.unsigned(_U64))
            return GgufArray(length, None)
        layout = self._layout(key, element_type)
        if length > MAX_KEPT_ARRAY_ELEMENTS:
            self._advance(length * layout.size)
            return GgufArray(length, None)
        return GgufArray(length, self._numbers(layout, length))

    def _numbers(self, layout: struct.Struct, count: int) -> tuple[int | float | bool, ...]:
        return tuple(number for (number,) in layout.iter_unpack(self.take(layout.size * count)))

    @staticmethod
    def _layout(key: str, value_type: int) -> struct.Struct:
        if value_type not in _SCALARS:
            raise GgufError(f"the metadata key {key!r} has a value of the unknown type {value_type}")
        return _SCALARS[value_type]

    def _advance(self, length: int) -> int:
        """Move on by `length` bytes without reading them; gives the position before."""
        start = self.position
        if length > self._end - start:
            limit = "the limit for headers" if self._end == MAX_HEADER_BYTES else "the end of the file"
            raise GgufError(f"the header runs past {limit}, at {self._end:,} bytes")
        self.position = start + length
        return start

    def _fill(self, start: int, length: int) -> None:
        stop = min(start + max(length, self._next_read), self._end)
        self._buffer = self._read(start, stop)
        if len(self._buffer) != stop - start:
            raise GgufError(f"bytes {start:,} to {stop:,} were asked for, {len(self._buffer):,} bytes came")
        self._buffer_start = start
        self._next_read = min(2 * self._next_read, LARGEST_READ_BYTES)
