"""The size of the KV cache: the keys and values of every token that a request can have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from quant_llm.agency import Engine
from quant_llm.catalogue.workload import Workload

PAGE_TOKENS: Final = 256
"""llama.cpp rounds a request's context up to so many tokens (llama_context's constructor), the ExLlama
engines their pages."""

_DEFAULT_BITS = 16.0

# Bits of one number. The quantised types have a scale for each block of 32 (llama.cpp's ggml-common.h,
# exllamav2/cache.py).
_BITS: Mapping[str, float] = {
    "f32": 32.0,
    **dict.fromkeys(("f16", "bf16", "fp16", "auto"), _DEFAULT_BITS),
    **dict.fromkeys(("q8_0", "q8"), 8.5),
    **dict.fromkeys(("fp8", "fp8_e4m3", "fp8_e4m3fn", "fp8_e5m2"), 8.0),
    "q6": 6.5,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "q4_1": 5.0,
    **dict.fromkeys(("q4_0", "q4", "iq4_nl"), 4.5),
}

_OPTIONS: Mapping[Engine, tuple[str, str]] = {
    "llama.cpp": ("LLAMA_ARG_CACHE_TYPE_K", "LLAMA_ARG_CACHE_TYPE_V"),
    "exllamav2": ("EXLLAMA_CACHE_MODE", "EXLLAMA_CACHE_MODE"),
    "vllm": ("OPTION_KV_CACHE_DTYPE", "OPTION_KV_CACHE_DTYPE"),
    "tgi": ("KV_CACHE_DTYPE", "KV_CACHE_DTYPE"),
}


def kv_cache_bytes(workload: Workload) -> int:
    """Bytes on all GPUs together, with room for every request's whole context.

    layers x KV heads x head size x tokens x (bits of a key + bits of a value) / 8. Models whose layers look
    at a window only, or share keys, need less.
    """
    return math.ceil(workload.shape.layers * _numbers(workload) * sum(_bits(workload)) / 8)


def unpacked_layer_bytes(workload: Workload) -> int:
    """Bytes of one layer's keys and values in 16 bits, which the engines unpack a quantised cache to."""
    if workload.spreads_layers or min(_bits(workload)) >= _DEFAULT_BITS:
        return 0
    return 2 * 2 * _numbers(workload)


def padded_context(workload: Workload) -> int:
    """Tokens of one request's context, in whole pages."""
    return math.ceil(workload.context_length / PAGE_TOKENS) * PAGE_TOKENS


def _numbers(workload: Workload) -> int:
    """Numbers in the keys of one layer, and as many in its values."""
    tokens = padded_context(workload) * workload.concurrency
    return workload.shape.key_value_heads * workload.shape.head_size * tokens


def _bits(workload: Workload) -> tuple[float, float]:
    """Bits of a number in keys and in values. A type that isn't known counts as the engines' default."""
    keys, values = (
        _BITS.get(workload.options.get(name, "").lower(), _DEFAULT_BITS) for name in _OPTIONS[workload.engine]
    )
    return keys, values
