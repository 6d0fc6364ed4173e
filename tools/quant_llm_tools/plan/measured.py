"""Decode rates that somebody measured, to stand beside the estimate: one request, tokens a second.

A rate is shown for a type with one GPU of the same model, the same engine and quantisation, and a model of
nearly the same size. It is never scaled to another.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quant_llm.agency import Engine, ModelShape
from quant_llm.catalogue import InstanceType, load_catalogue
from quant_llm.paths import ROOT

SAME_SIZE = 0.15
"""How far the number of parameters may be from that of the model that was measured."""

_H100 = "NVIDIA H100 80GB"
_HERE = "measured for this project with random weights, 2026-11-22"
_XIONGJIE = "XiongjieDai, GPU-Benchmarks-on-LLM-Inference, 2024-05"
_AWS = "AWS machine learning blog, 2026-01"


@dataclass(frozen=True)
class Measured:
    """One measurement, of a model of `parameters` that `model` names: the least rate and the most."""

    engine: Engine
    gpu_model: str
    quantization: str
    model: str
    parameters: float
    tokens_per_s: tuple[float, float]
    source: str


def _of(
    engine: Engine,
    gpu_model: str,
    quantization: str,
    model: str,
    parameters: float,
    least: float,
    source: str,
    most: float | None = None,
) -> Measured:
    return Measured(engine, gpu_model, quantization, model, parameters, (least, most or least), source)


MEASURED = (
    _of("llama.cpp", _H100, "Q8_0", "Llama 7B", 6.74e9, 236, _HERE),
    _of("llama.cpp", _H100, "Q4_0", "Llama 7B", 6.74e9, 314, _HERE),
    _of("llama.cpp", _H100, "Q8_0", "Llama 13B", 13.02e9, 136, _HERE),
    _of("llama.cpp", _H100, "Q4_0", "Llama 13B", 13.02e9, 188, _HERE),
    _of("llama.cpp", _H100, "Q4_0", "CodeLlama 34B", 33.74e9, 96, _HERE),
    _of("exllamav2", _H100, "GPTQ-4bit", "Llama 7B", 6.74e9, 118, _HERE, 130),
    _of("exllamav2", _H100, "GPTQ-4bit", "Llama 13B", 13.02e9, 142, _HERE, 150),
    _of("exllamav2", _H100, "GPTQ-4bit", "CodeLlama 34B", 33.74e9, 73, _HERE),
    _of("llama.cpp", "NVIDIA L40S", "Q4_K_M", "Llama 3 8B", 8.03e9, 113.6, _XIONGJIE),
    _of("vllm", "NVIDIA A10G", "BF16", "Llama 3.1 8B", 8.03e9, 33.1, _AWS),
    _of("vllm", "NVIDIA A10G", "AWQ-4bit", "Llama 3.1 8B", 8.03e9, 83.2, _AWS),
    _of("vllm", "NVIDIA A10G", "GPTQ-4bit", "Llama 3.1 8B", 8.03e9, 80.8, _AWS),
)

SHARE_REACHED = "35 to 56 % of it on llama.cpp at 7B to 34B (one H100, 2026-11-22), less on small models"
"""What of the bandwidth's limit the measurements of this project reached."""

BENCHMARKS = ROOT / "benchmarks" / "results" / "gpu-throughput.json"
"""What `python3 -m benchmarks.gpu.throughput` wrote: through the container's port, on one GPU."""

_SMOLLM2_PARAMETERS = 134_515_008
_BENCHMARKED: Mapping[str, tuple[Engine, str]] = {
    "SmolLM2-135M Q4_1": ("llama.cpp", "Q4_1"),
    "SmolLM2-135M EXL2 4.0 bpw": ("exllamav2", "EXL2-4.0bpw"),
    "SmolLM2-135M GPTQ 4 bit": ("exllamav2", "GPTQ-4bit"),
}
"""Engine and quantisation of the benchmark's models, by the names that it gives them."""


@functools.cache
def benchmarks(path: Path = BENCHMARKS) -> tuple[Measured, ...]:
    """The benchmark's rates of one request; none where it was not run, or on a GPU that no type has."""
    if not path.exists():
        return ()
    results = json.loads(path.read_text(encoding="utf-8"))
    machine, models = results["machine"], {one.gpu_model for one in load_catalogue().instances}
    gpu_model = next((model for model in models if machine["gpu"].startswith(model)), None)
    if gpu_model is None:
        return ()
    source = f"benchmarks/results/{path.name}, {machine['date'][:10]}"
    return tuple(
        _of(engine, gpu_model, quantization, name, _SMOLLM2_PARAMETERS, found["tokens_per_s_each"], source)
        for name, (engine, quantization) in _BENCHMARKED.items()
        if (found := results["measured"].get(name, {}).get("streams_1", {}).get("container"))
    )


def measured(engine: Engine, shape: ModelShape, instance: InstanceType) -> Measured | None:
    """The measurement that stands for a model on a type; None when there is none."""
    if instance.gpu_count != 1:
        return None
    return next(
        (
            one
            for one in (*MEASURED, *benchmarks())
            if (one.engine, one.gpu_model, one.quantization)
            == (engine, instance.gpu_model, shape.quantization)
            and abs(shape.parameters / one.parameters - 1) <= SAME_SIZE
        ),
        None,
    )
