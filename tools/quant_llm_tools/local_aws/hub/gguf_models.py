"""GGUF files of whole models: llama.cpp's tensor names, its choice of types, its shards."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from quant_llm_tools.local_aws.hub import gguf
from quant_llm_tools.local_aws.hub.architectures import Architecture
from quant_llm_tools.local_aws.hub.content import GeneratedContent
from quant_llm_tools.local_aws.hub.gguf import GgmlType, Tensor

# The largest shard of Qwen's own repositories: `--split-max-size 4G`, and gguf-split's G is 1000^3.
SHARD_BYTES = 4_000_000_000


class Quantization(Enum):
    """A file type of llama.cpp: `general.file_type`, the usual type, that of sensitive layers, of the output.

    Which tensors get which: `llama_tensor_get_type` in llama.cpp (src/llama-quant.cpp).
    """

    Q4_0 = (2, GgmlType.Q4_0, GgmlType.Q4_0, GgmlType.Q6_K)
    Q8_0 = (7, GgmlType.Q8_0, GgmlType.Q8_0, GgmlType.Q8_0)
    Q4_K_M = (15, GgmlType.Q4_K, GgmlType.Q6_K, GgmlType.Q6_K)
    Q5_K_M = (17, GgmlType.Q5_K, GgmlType.Q6_K, GgmlType.Q6_K)
    Q6_K = (18, GgmlType.Q6_K, GgmlType.Q6_K, GgmlType.Q6_K)

    def __init__(self, file_type: int, usual: GgmlType, sensitive: GgmlType, output: GgmlType) -> None:
        self.file_type = file_type
        self.usual = usual
        self.sensitive = sensitive
        self.output = output


def model(architecture: Architecture, quantization: Quantization) -> GeneratedContent:
    """The model as one file."""
    tensors = tuple(_tensors(architecture, quantization))
    return _content(_metadata, architecture, quantization, tensors)


def shards(
    architecture: Architecture, quantization: Quantization, shard_bytes: int = SHARD_BYTES
) -> list[GeneratedContent]:
    """The model as gguf-split cuts it: a shard is full when the next tensor would pass `shard_bytes`."""
    cuts: list[list[Tensor]] = [[]]
    for tensor in _tensors(architecture, quantization):
        if cuts[-1] and sum(other.size for other in cuts[-1]) + tensor.size > shard_bytes:
            cuts.append([])
        cuts[-1].append(tensor)
