"""GGUF version 3, the header only: metadata, tensor infos, alignment.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

ALIGNMENT = 32
_VERSION = 3


class GgmlType(Enum):
    """A tensor type: its number, the weights of one block, the bytes of one block (ggml.c, `type_traits`)."""

    F32 = (0, 1, 4)
    Q4_0 = (2, 32, 18)
    Q8_0 = (8, 32, 34)
    Q4_K = (12, 256, 144)
    Q5_K = (13, 256, 176)
    Q6_K = (14, 256, 210)

    def __init__(self, number: int, block_weights: int, block_bytes: int) -> None:
        self.number = number
        self.block_weights = block_weights
        self.block_bytes = block_bytes


@dataclass(frozen=True)
class Tensor:
    """One tensor; `shape` is in ggml's order, the length of a row first."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType

    @property
    def size(self) -> int:
        """Bytes, with the padding after it."""
        return _aligned(math.prod(self.shape) // self.type.block_weights * self.type.block_bytes)


class Uint16(int):
    """A metadata number of 16 bits, unsigned; a plain int has 32."""


class Int32(int):
    """A metadata number of 32 bits, signed."""


# Arrays of numbers are 32 bit floats or 32 bit signed integers.
Value: TypeAlias = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]

_ARRAY = 9
_STRING = 8
# Most telling type first: bool, Uint16 and Int32 are ints as well.
_SCALARS: tuple[tuple[type[int | float], int, str], ...] = (
    (bool, 7, "<?"),
    (Uint16, 2, "<H"),
    (Int32, 5, "<i"),
    (int, 4, "<I"),
    (float, 6, "<f"),
)


def header(metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> bytes:
    """All bytes before the first tensor's data."""
    offsets = itertools.accumulate((tensor.size for tensor in tensors), initial=0)
    parts = [b"GGUF", struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))]
    parts += [_string(key) + _value(value) for key, value in metadata.items()]
    parts += [_tensor_info(tensor, offset) for tensor, offset in zip(tensors, offsets, strict=False)]
    unpadded = b"".join(parts)
    return unpadded.ljust(_aligned(len(unpadded)), b"\0")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, Sequence):
        return struct.pack("<I", _ARRAY) + _array(value)
    for python_type, number, layout in _SCALARS:
        if isinstance(value, python_type):
            return struct.pack("<I", number) + struct.pack(layout, value)
    raise TypeError(f"no GGUF type for {value!r}")


def _array(values: Sequence[str] | Sequence[int] | Sequence[float]) -> bytes:
    if isinstance(values[0], str):
        return struct.pack("<IQ", _STRING, len(values)) + b"".join(_string(str(text)) for text in values)
    number, letter = (6, "f") if isinstance(values[0], float) else (5, "i")
    return struct.pack(f"<IQ{len(values)}{letter}", number, len(values), *values)


def _tensor_info(tensor: Tensor, offset: int) -> bytes:
    dimensions = len(tensor.shape)
    return _string(tensor.name) + struct.pack(
        f"<I{dimensions}QIQ", dimensions, *tensor.shape, tensor.type.number, offset
    )
