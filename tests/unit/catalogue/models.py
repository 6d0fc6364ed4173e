"""Models of several sizes and formats, as workloads for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quant_llm.agency import Engine, ModelShape
from quant_llm.catalogue import Workload


def shape(**changes: Any) -> ModelShape:
    """Mistral 7B in Q4_K_M, with what is changed."""
    mistral = {
        "format": "gguf",
        "architecture": "llama",
        "quantization": "Q4_K_M",
        "parameters": 7_241_732_096,
        "bits_per_weight": 4.8259,
        "layers": 32,
        "attention_heads": 32,
        "key_value_heads": 8,
        "head_size": 128,
        "embedding_size": 4096,
        "vocabulary_size": 32000,
        "context_length": 32768,
    }
    return ModelShape.model_validate({**mistral, **changes})


def workload(
    engine: Engine = "llama.cpp",
    *,
    weights: int = 4_368_439_584,
    of: ModelShape | None = None,
    **changes: Any,
) -> Workload:
    """A workload of so many bytes of weights; by default Mistral 7B, one request of 4,096 tokens."""
    one = Workload(
        engine=engine,
        shape=of or shape(),
        weight_bytes=weights,
        total_bytes=weights,
        context_length=4096,
        concurrency=1,
    )
    return replace(one, **changes)


SMALL = shape(
    parameters=134_515_008,
    bits_per_weight=5.85,
    layers=30,
    attention_heads=9,
    key_value_heads=3,
    head_size=64,
    embedding_size=576,
    vocabulary_size=49152,
    context_length=8192,
)
LARGE = shape(
    parameters=70_553_706_496,
    bits_per_weight=4.5092,
    layers=80,
    attention_heads=64,
    embedding_size=8192,
    vocabulary_size=128256,
    context_length=131072,
)
HUGE = shape(
    parameters=405_853_388_800,
    bits_per_weight=4.5,
    layers=126,
    attention_heads=128,
    embedding_size=16384,
    vocabulary_size=128256,
    context_length=131072,
)

SIZES = {
    "135M": workload(of=SMALL, weights=98_362_432),
    "7B, short": workload(),
    "7B, many": workload(context_length=8192, concurrency=8),
    "7B, 16 bit": workload(weights=14_483_464_192),
    "70B, 4 bit": workload(of=LARGE, weights=39_767_995_392, context_length=8192, concurrency=8),
    "70B, 16 bit": workload(of=LARGE, weights=141_107_412_992, context_length=8192, concurrency=4),
    "405B, 4 bit": workload(of=HUGE, weights=228_292_531_200, context_length=8192, concurrency=4),
}
"""From what fits anywhere to what fits almost nowhere."""
