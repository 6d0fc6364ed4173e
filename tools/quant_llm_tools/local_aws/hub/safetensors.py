"""safetensors, the header only, and the two ways in which large models are cut into files.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import itertools
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quant_llm_tools.local_aws.hub.content import GeneratedContent

_BYTES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "I16": 2, "I32": 4, "I64": 8}


@dataclass(frozen=True)
class Tensor:
    """One tensor; `dtype` is safetensors' name for it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * _BYTES[self.dtype]


def header(tensors: Sequence[Tensor]) -> bytes:
    """The length of the JSON, the JSON, spaces up to a multiple of 8."""
    ends = itertools.accumulate(tensor.size for tensor in tensors)
    infos: dict[str, object] = {"__metadata__": {"format": "pt"}}
    for tensor, end in zip(tensors, ends, strict=True):
        infos[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [end - tensor.size, end],
        }
    text = json.dumps(infos, separators=(",", ":")).encode()
    padded = text.ljust(-(-len(text) // 8) * 8)
    return struct.pack("<Q", len(padded)) + padded


def content(tensors: Sequence[Tensor], seed: str) -> GeneratedContent:
    """One file with these tensors, in the library's own order: wide types first, then by name."""
    ordered = sorted(tensors, key=lambda tensor: (-_BYTES[tensor.dtype], tensor.dtype, tensor.name))
    return GeneratedContent(
        make_header=lambda: header(ordered),
        body_bytes=sum(tensor.size for tensor in tensors),
        seed=zlib.crc32(seed.encode()),
    )


def shards(tensors: Sequence[Tensor], shard_bytes: int) -> list[list[Tensor]]:
    """Cut before the first tensor that would pass `shard_bytes`, as transformers and ExLlamaV2 do."""
    cuts: list[list[Tensor]] = [[]]
    room = shard_bytes
    for tensor in tensors:
        if cuts[-1] and tensor.size > room:
            cuts.append([])
            room = shard_bytes
        cuts[-1].append(tensor)
        room -= tensor.size
    return cuts


def index(files: Mapping[str, Sequence[Tensor]]) -> dict[str, object]:
    """`model.safetensors.index.json`: the file of each tensor."""
    return {
        "metadata": {"total_size": sum(tensor.size for tensors in files.values() for tensor in tensors)},
        "weight_map": {tensor.name: path for path, tensors in files.items() for tensor in tensors},
    }
