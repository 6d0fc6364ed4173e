"""Which engine reads which weights, on which GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from quant_llm.agency import Engine, ModelShape
from quant_llm.catalogue import NEEDS, InstanceType, assess, engines_of, load_catalogue
from quant_llm.catalogue.formats import READS, least_capability
from tests.unit.catalogue.models import shape, workload

T4, A10G, L4, BLACKWELL = "ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge", "ml.g7e.2xlarge"


def find(instance_type: str) -> InstanceType:
    found = load_catalogue().find(instance_type)
    assert found is not None
    return found


def tensors(quantization: str, **changes: object) -> ModelShape:
    return shape(format="safetensors", quantization=quantization, **changes)


@pytest.mark.parametrize(
    ("model", "engines"),
    [
        (shape(), ("llama.cpp",)),
        (shape(format="exl2", quantization="EXL2-4.0bpw"), ("exllamav2",)),
        (tensors("GPTQ-4bit"), ("exllamav2", "vllm", "tgi")),
        (tensors("GPTQ-8bit"), ("vllm", "tgi")),
        (tensors("AWQ-4bit"), ("vllm", "tgi")),
        (tensors("FP8"), ("vllm", "tgi")),
        (tensors("INT4"), ("vllm", "tgi")),
        (tensors("BF16"), ("vllm", "tgi")),
        (tensors("AWQ-3bit"), ()),
        (tensors("F8_E4M3"), ()),
    ],
)
def test_engines_are_those_that_read_the_weights(model: ModelShape, engines: tuple[str, ...]) -> None:
    assert engines_of(model) == engines


def test_every_engine_reads_something_and_needs_no_less_than_its_image_does() -> None:
    assert set(READS) == set(get_args(Engine))
    for engine, kinds in READS.items():
        assert kinds
        assert min(kinds.values()) == NEEDS[engine].least_capability


@pytest.mark.parametrize(
    ("engine", "quantization", "instance_type", "reason"),
    [
        ("vllm", "AWQ-4bit", T4, None),
        ("vllm", "BF16", T4, None),
        (
            "vllm",
            "FP8",
            T4,
            "a GPU on which vLLM runs FP8, of compute capability 8.0 or later: NVIDIA T4 has 7.5",
        ),
        ("vllm", "FP8", A10G, None),
        ("vllm", "FP8", BLACKWELL, None),
        (
            "tgi",
            "BF16",
            T4,
            "a GPU that TGI runs on, of compute capability one of 8.0, 8.6, 8.9, 9.0: NVIDIA T4 has 7.5",
        ),
        ("tgi", "FP8", L4, None),
        (
            "tgi",
            "BF16",
            BLACKWELL,
            "a GPU that TGI runs on, of compute capability one of 8.0, 8.6, 8.9, 9.0: NVIDIA RTX PRO 6000 "
            "Blackwell Server Edition has 12.0",
        ),
    ],
)
def test_a_gpu_without_the_kernels_is_refused_once(
    engine: Engine, quantization: str, instance_type: str, reason: str | None
) -> None:
    one = workload(engine, of=tensors(quantization))
    fit = assess(one, find(instance_type), "us-east-1")
    assert [found.text for found in fit.reasons if found.code == "engine"] == ([reason] if reason else [])
    own = assess(replace(one, brings_image=True), find(instance_type), "us-east-1")
    assert [found for found in own.reasons if found.code == "engine"] == []


@pytest.mark.parametrize(
    ("engine", "heads", "key_value_heads", "reason"),
    [
        ("vllm", 32, 8, None),
        ("vllm", 32, 2, None),  # repeated
        ("vllm", 24, 3, "a number of GPUs that divides the model's 3 KV heads: it has 4"),
        ("tgi", 32, 8, None),
        ("tgi", 32, 2, "a number of GPUs that divides the model's 2 KV heads: it has 4"),
        ("tgi", 30, 30, "a number of GPUs that divides the model's 30 attention heads: it has 4"),
    ],
)
def test_heads_are_dealt_whole_to_the_gpus(
    engine: Engine, heads: int, key_value_heads: int, reason: str | None
) -> None:
    model = tensors("BF16", attention_heads=heads, key_value_heads=key_value_heads)
    fit = assess(workload(engine, of=model), find("ml.g5.12xlarge"), "us-east-1")
    assert [found.text for found in fit.reasons if found.code == "engine"] == ([reason] if reason else [])


def test_what_an_engine_does_not_read_has_no_capability() -> None:
    assert least_capability("llama.cpp", tensors("BF16")) is None
    assert least_capability("vllm", shape()) is None
