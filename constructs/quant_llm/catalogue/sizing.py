"""How much GPU memory, disk and time a model needs.

Memory of the GPU that holds the most, in bytes:

    weights + KV cache + overhead
    KV cache = layers x KV heads x head size x 2 x bytes x tokens, tokens = context length x concurrency

The sum is that of substratus.ai, "Calculating GPU memory for serving LLMs" (2023), with the KV cache of the
transformer's definition (a key and a value of `head size` for each KV head, layer and token) in place of its
flat 20 %. The overhead follows the engines' own source, see `overhead`, and its constants are fitted to
memory that was measured on a GPU: docs/sizing.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from quant_llm.agency import Engine
from quant_llm.catalogue.kv_cache import PAGE_TOKENS, kv_cache_bytes
from quant_llm.catalogue.overhead import overhead_bytes
from quant_llm.catalogue.schema import InstanceType
from quant_llm.catalogue.workload import Workload, option_number

MIB: Final = 1024**2
GIB: Final = 1024**3
GB: Final = 10**9

USABLE_SHARE: Final = 0.97
"""Of the memory that EC2 reports, where no source says what CUDA finds free: the driver keeps some."""

MEMORY_SHARE: Final = 0.90
"""Of a GPU's memory that vLLM and TGI are told to take for weights, cache and activations: TGI's default
(TGI_WIGGLE_ROOM in its server's models/globals.py). vLLM's own is 0.92 since 0.23 and was 0.9."""

GRAPHS_MIB: Final = 1024
"""What the CUDA graphs of vLLM and TGI need beside that share."""

_SHARES: Final[Mapping[str, str]] = {"vllm": "OPTION_GPU_MEMORY_UTILIZATION", "tgi": "TGI_WIGGLE_ROOM"}

FILE_SYSTEM_SHARE: Final = 0.95
"""Of a disk that files can have; the file system keeps the rest."""

EBS_GB: Final = (30, 512)
"""What the stack asks for at least, and SageMaker's bound of `VolumeSizeInGB`."""

TIMEOUT_BOUNDS: Final = (60, 3600)
"""SageMaker's bounds of both start-up timeouts, in seconds."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that the GPU with the most needs, of `gpu_count` that the model is spread over."""

    gpu_count: int
    weights: int
    kv_cache: int
    overhead: int

    @property
    def total(self) -> int:
        """All of it together."""
        return self.weights + self.kv_cache + self.overhead

    @property
    def arithmetic(self) -> str:
        """The sum in one line: `weights 4.1 + KV cache 8.0 + overhead 0.9 = 13.0 GiB`."""
        parts = (("weights", self.weights), ("KV cache", self.kv_cache), ("overhead", self.overhead))
        terms = " + ".join(f"{name} {size / GIB:.1f}" for name, size in parts)
        each = f" on each of {self.gpu_count} GPUs" if self.gpu_count > 1 else ""
        return f"{terms} = {self.total / GIB:.1f} GiB{each}"


def memory_needed(workload: Workload, gpu_count: int) -> MemoryNeed:
    """Memory of the GPU that holds the most when the model is spread over `gpu_count` of one instance.

    vLLM and TGI spread every layer over all GPUs. llama.cpp (`--split-mode layer`, its default) and ExLlamaV2
    give each GPU whole layers, and the last one the output layer. ExLlamaV2 keeps the token embedding in the
    host's memory (exllamav2/embedding.py); so does llama.cpp, where it is small enough to be left in the sum.
    """
    kv_cache, weights = kv_cache_bytes(workload), workload.weight_bytes
    shape = workload.shape
    if workload.engine == "exllamav2":
        weights -= min(weights, shape.separate_embedding_bytes)
    if workload.spreads_layers:
        # A KV head is never split: with more GPUs than heads each has a copy of one.
        heads = math.ceil(shape.key_value_heads / gpu_count)
        weights = math.ceil(weights / gpu_count)
        kv_cache = math.ceil(kv_cache * heads / shape.key_value_heads)
    elif gpu_count > 1:
        output = min(weights, _output_layer_bytes(workload))
        layers = math.ceil((shape.layers + 1) / gpu_count)
        inner = _share(weights - output, kv_cache, layers, shape.layers)
        last = _share(weights - output, kv_cache, layers - 1, shape.layers)
        weights, kv_cache = max(inner, (last[0] + output, last[1]), key=sum)
    return MemoryNeed(gpu_count, weights, kv_cache, overhead_bytes(workload, gpu_count))


def _share(weights: int, kv_cache: int, layers: int, of: int) -> tuple[int, int]:
    layers = min(layers, of)
    return math.ceil(weights * layers / of), math.ceil(kv_cache * layers / of)


def _output_layer_bytes(workload: Workload) -> int:
    """The output layer, which quantisers keep at more bits than the rest: 6.6 at least (llama.cpp's Q6_K)."""
    shape = workload.shape
    bits = max(6.5625, shape.bits_per_weight)
    return math.ceil(shape.vocabulary_size * shape.embedding_size * bits / 8)


def usable_bytes(instance: InstanceType, workload: Workload) -> int | None:
    """Bytes of one GPU's memory that the engine can have; None when the GPU's memory is unknown."""
    reported = instance.gpu_memory_mib_each
    if reported is None:
        return None
    free = instance.gpu_memory_usable_mib_each or reported * USABLE_SHARE
    if workload.spreads_layers:
        share = option_number(workload.options, _SHARES[workload.engine], MEMORY_SHARE)
        free = min(free - GRAPHS_MIB, reported * share)
    return int(free * MIB)


def longest_context(workload: Workload, instance: InstanceType) -> int:
    """The longest `context_length`, in whole pages, that fits at this concurrency; 0 when none does.

    At most what the workload asks for.
    """
    usable = usable_bytes(instance, workload)
    if usable is None:
        return 0

    def fits(pages: int) -> bool:
        shorter = replace(workload, context_length=pages * PAGE_TOKENS)
        return memory_needed(shorter, instance.gpu_count).total <= usable

    low, high = 0, workload.context_length // PAGE_TOKENS
    while low < high:  # memory grows with the context, so the pages that fit come first
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low * PAGE_TOKENS


def disk_bytes(workload: Workload) -> int:
    """Bytes of the model on the instance's disk: an archive lies beside the files that it unpacks to."""
    return workload.total_bytes * (2 if workload.artifact == "model.tar.gz" else 1)


def disk_gb(instance: InstanceType) -> int:
    """GB of disk that an instance can have: its instance store, else the largest EBS volume."""
    return instance.local_storage_gb or EBS_GB[1]


def volume_gb(workload: Workload, instance: InstanceType) -> int | None:
    """`VolumeSizeInGB` to ask for; None on a type with an instance store, which takes the place of EBS."""
    if instance.local_storage_gb is not None:
        return None
    return max(EBS_GB[0], math.ceil(disk_bytes(workload) / FILE_SYSTEM_SHARE / GB))


def download_seconds(artifact_bytes: int) -> int:
    """Seconds to fetch and unpack: 5 minutes and 20 s a GB (50 MB/s), within SageMaker's bounds."""
    return _bounded(300 + artifact_bytes // 50_000_000)


def startup_seconds(artifact_bytes: int, engine: Engine) -> int:
    """Seconds to the first healthy ping: 5 minutes and 10 s a GB (100 MB/s, disk to GPU), so bounded too.

    vLLM and TGI have 5 minutes more: before the first answer they compile, try out the largest batch and
    capture CUDA graphs. What is left of the time costs nothing.
    """
    base = 600 if engine in _SHARES else 300
    return _bounded(base + artifact_bytes // 100_000_000)


def _bounded(seconds: int) -> int:
    lowest, highest = TIMEOUT_BOUNDS
    return max(lowest, min(highest, seconds))


def decode_limit(workload: Workload, instance: InstanceType) -> float | None:
    """Tokens a second of one request that the memory's bandwidth allows: an estimate, and an upper one.

    Every weight is read once a token: bandwidth / bytes of the weights. A mixture of experts reads fewer and
    may be faster. GPUs that each hold whole layers take turns; vLLM's and TGI's work at the same time. None
    when the bandwidth is unknown.
    """
    bandwidth = instance.gpu_memory_bandwidth_gb_s
    if bandwidth is None:
        return None
    at_once = instance.gpu_count if workload.spreads_layers else 1
    return bandwidth * GB * at_once / workload.weight_bytes
