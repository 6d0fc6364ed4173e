"""A measured rate stands for the same engine, GPU, quantisation and size, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant_llm.agency import ModelShape
from quant_llm.catalogue import Workload, decode_limit, load_catalogue
from quant_llm.paths import ROOT
from quant_llm_tools.plan.measured import BENCHMARKS, MEASURED, Measured, benchmarks, measured


def shape(one: Measured, **changed: Any) -> ModelShape:
    fields = {
        "format": "gguf",
        "architecture": "llama",
        "quantization": one.quantization,
        "parameters": int(one.parameters),
        "bits_per_weight": 4.5,
        "layers": 32,
        "attention_heads": 32,
        "key_value_heads": 32,
        "head_size": 128,
        "embedding_size": 4096,
        "vocabulary_size": 32000,
        "context_length": 4096,
    }
    return ModelShape.model_validate(fields | changed)


@pytest.mark.parametrize("one", MEASURED, ids=lambda one: f"{one.model} {one.quantization}")
def test_each_is_found_on_a_type_with_one_such_gpu_and_on_no_other(one: Measured) -> None:
    on = {
        instance.instance_type
        for instance in load_catalogue().instances
        if measured(one.engine, shape(one), instance) == one
    }
    assert on == {
        instance.instance_type
        for instance in load_catalogue().instances
        if (instance.gpu_model, instance.gpu_count) == (one.gpu_model, 1)
    }
    assert on, "a GPU that the catalogue doesn't have"


@pytest.mark.parametrize("one", MEASURED, ids=lambda one: f"{one.model} {one.quantization}")
def test_nobody_measured_more_than_the_estimate_says_there_can_be(one: Measured) -> None:
    bits = {"Q8_0": 8.5, "Q4_0": 4.5, "Q4_K_M": 4.8, "BF16": 16.0}.get(one.quantization, 4.2)
    instance = next(
        one_type for one_type in load_catalogue().instances if one_type.gpu_model == one.gpu_model
    )
    size = int(one.parameters * bits / 8)
    workload = Workload(
        engine="llama.cpp",
        shape=shape(one),
        weight_bytes=size,
        total_bytes=size,
        context_length=512,
        concurrency=1,
    )
    limit = decode_limit(workload, instance)
    assert limit is not None
    assert one.tokens_per_s[1] <= limit


@pytest.mark.parametrize("changed", [{"quantization": "Q5_K_M"}, {"parameters": 8_000_000_000}])
def test_another_quantisation_or_size_has_none(changed: dict[str, Any]) -> None:
    h100 = load_catalogue().find("ml.p5.4xlarge")
    assert h100 is not None
    one = MEASURED[0]
    assert measured(one.engine, shape(one), h100)
    assert measured(one.engine, shape(one, **changed), h100) is None
    assert measured("vllm", shape(one), h100) is None


def results(tmp_path: Path, gpu: str, measured: dict[str, Any]) -> Path:
    path = tmp_path / "gpu-throughput.json"
    machine = {"gpu": gpu, "date": "2026-11-23T03:02:07+00:00"}
    path.write_text(json.dumps({"machine": machine, "measured": measured}))
    return path


RATES = {"streams_1": {"direct": {"tokens_per_s_each": 9.0}, "container": {"tokens_per_s_each": 7.5}}}


def test_the_benchmark_counts_by_what_came_through_the_container(tmp_path: Path) -> None:
    measured = {"SmolLM2-135M Q4_1": RATES, "SmolLM2-135M GPTQ 4 bit": {"error": "it broke"}, "other": RATES}
    (one,) = benchmarks(results(tmp_path, "NVIDIA H100 80GB HBM3", measured))
    assert (one.engine, one.gpu_model, one.quantization) == ("llama.cpp", "NVIDIA H100 80GB", "Q4_1")
    assert one.tokens_per_s == (7.5, 7.5)
    assert one.source == "benchmarks/results/gpu-throughput.json, 2026-11-23"


def test_a_benchmark_of_a_gpu_that_no_type_has_and_none_at_all_are_nothing(tmp_path: Path) -> None:
    assert benchmarks(results(tmp_path, "NVIDIA GeForce", {"SmolLM2-135M Q4_1": RATES})) == ()
    assert benchmarks(tmp_path / "nothing.json") == ()


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmark has not been run")
def test_the_benchmark_in_the_repository_is_of_the_default_agencys_model() -> None:
    lock = json.loads((ROOT / "agencies" / "default.lock.json").read_text())["models"]["smollm2-135m"]
    model = ModelShape.model_validate(lock["shape"])
    h100 = load_catalogue().find("ml.p5.4xlarge")
    assert h100 is not None
    found = measured("llama.cpp", model, h100)
    assert found is not None
    assert found in benchmarks()
