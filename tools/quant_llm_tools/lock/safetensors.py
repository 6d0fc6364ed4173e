"""Reads the header of a safetensors file by ranges, and counts the parameters that its tensors stand for.

The header is eight bytes of length and then JSON. huggingface_hub has a parser for it, but that one reads
through the network itself and trusts the server to honour ranges; this one takes any `read`, as the GGUF
reader does, and checks the tensors against the file's size.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quant_llm.errors import QuantLlmError

MAX_HEADER_BYTES = 25_000_000  # huggingface_hub's limit too

_DTYPE_BITS = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}

# Tensors that describe how other tensors are packed, and tables that are computed and not trained.
_AUXILIARY = (
    *(".qzeros", ".scales", ".g_idx"),  # AWQ, GPTQ
    *(".q_groups", ".q_invperm", ".q_scale", ".q_scale_max"),  # EXL2
    *(".weight_scale", ".weight_scale_inv", ".input_scale", ".input_scale_ub", ".k_scale", ".v_scale"),  # FP8
    *(".weight_shape", ".weight_zero_point", ".weight_g_idx"),  # compressed-tensors, beside its weight_scale
    ".rotary_emb.inv_freq",
)


class SafetensorsError(QuantLlmError):
    """The bytes are not the header of a safetensors file, or its tensors are not packed as stated."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as it is stored: its name, element type ("BF16", "I32", …) and dimensions."""

    name: str
    dtype: str
    dimensions: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of stored elements, which is not the number of weights where several are packed in one."""
        return math.prod(self.dimensions)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.elements * _DTYPE_BITS[self.dtype] // 8


def read_safetensors_header(read: Callable[[int, int], bytes], file_size: int) -> list[StoredTensor]:
    """The tensors of a safetensors file of `file_size` bytes, in the header's order.

    `read(start, end)` gives the bytes of that range, `end` not included. SafetensorsError when the header is
    damaged, or describes more than the file has room for.
    """
    if file_size < 8:
        raise SafetensorsError(f"not a safetensors file: it has {file_size} bytes")
    length = int.from_bytes(read(0, 8), "little")
    if length > min(file_size - 8, MAX_HEADER_BYTES):
        raise SafetensorsError(
            f"not a safetensors file: it states a header of {length:,} bytes, "
            f"expected at most {min(file_size - 8, MAX_HEADER_BYTES):,}"
        )
    try:
        header = json.loads(read(8, 8 + length))
    except (ValueError, RecursionError):
        raise SafetensorsError("the safetensors header is not JSON") from None
    if not isinstance(header, dict):
        raise SafetensorsError("the safetensors header is not a JSON object")
    room = file_size - 8 - length
    return [_tensor(name, entry, room) for name, entry in header.items() if name != "__metadata__"]


def _tensor(name: str, entry: object, room: int) -> StoredTensor:
    """One entry of the header, checked; `room` is the bytes that the file has after the header."""
    match entry:
        case {"dtype": str(dtype), "shape": [*dimensions], "data_offsets": [int(start), int(end)]}:
            tensor = StoredTensor(name, dtype, tuple(dimensions))
        case _:
            raise SafetensorsError(f"the tensor {name!r} is not described by dtype, shape and data_offsets")
    if dtype not in _DTYPE_BITS:
        raise SafetensorsError(f"the tensor {name!r} has the unknown type {dtype!r}")
    if not all(type(dimension) is int and dimension >= 0 for dimension in dimensions):
        raise SafetensorsError(f"the tensor {name!r} has the shape {dimensions!r}")
    if start < 0 or (end - start) * 8 != tensor.elements * _DTYPE_BITS[dtype]:
        raise SafetensorsError(
            f"the tensor {name!r} of type {dtype} and shape {dimensions} can't lie at {start} to {end}"
        )
    if end > room:
        raise SafetensorsError(
            f"the file is cut off: {name!r} ends {end:,} bytes after the header, the file has {room:,}"
        )
    return tensor


def count_parameters(tensors: Sequence[StoredTensor], bits: int | None) -> int:
    """Number of weights of the model, whatever they are packed in.

    `bits` is what the config states for packed formats. AWQ, GPTQ and compressed-tensors pack weights of
    `bits` bits into 32-bit words, so `qweight` and `weight_packed` stand for elements x 32 / bits. EXL2 mixes
    widths within a matrix: its `q_weight` has a column per output and its `q_invperm` an entry per input, so
    it stands for outputs x inputs (the output of a head is padded to a multiple of 32). All others are stored
    one by one, FP8 too.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    return sum(_weights(tensor, by_name, bits) for tensor in tensors)


def _weights(tensor: StoredTensor, by_name: Mapping[str, StoredTensor], bits: int | None) -> int:
    if tensor.name.endswith(_AUXILIARY):
        return 0
    if tensor.name.endswith((".qweight", ".weight_packed")):
        if not bits or tensor.elements * 32 % bits:
            raise SafetensorsError(
                f"{tensor.name!r} is packed, but quantization_config.bits in config.json is {bits!r}"
            )
        return tensor.elements * 32 // bits
    if tensor.name.endswith(".q_weight"):
        inputs = by_name.get(tensor.name.removesuffix(".q_weight") + ".q_invperm")
        if inputs is None or len(tensor.dimensions) != 2:
            raise SafetensorsError(f"the tensor {tensor.name!r} has no '.q_invperm' beside it, as EXL2 has")
        return inputs.elements * tensor.dimensions[1]
    return tensor.elements
