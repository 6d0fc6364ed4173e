"""Which engine reads which quantisation, and the least GPU that it does so on.

Sources, at the versions of the images in `engine_images.json`:

- vLLM 0.23: `get_min_capability` of each configuration in vllm/model_executor/layers/quantization. FP8 runs
  on Ampere (8.0) with the arithmetic in 16 bits, and in FP8 from Ada (8.9) on. Of what the lock calls FP8 the
  strictest counts, fbgemm_fp8. BF16 on Turing is cast to FP16 (vllm/config/model.py).
- TGI 3.3.6: server/text_generation_server/layers, in the image for GPUs from 8.0 on.
- ExLlamaV2 takes GPTQ of 4 bits alone (exllamav2/linear.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from quant_llm.agency import Engine, ModelShape

Capability = tuple[int, int]

_TURING, _AMPERE = (7, 5), (8, 0)
_PLAIN = ("BF16", "F16", "F32")
_PACKED = ("AWQ-4bit", "GPTQ-4bit", "GPTQ-8bit", "INT4", "INT8")

READS: Mapping[Engine, Mapping[str, Capability]] = {
    "llama.cpp": {"GGUF": _TURING},
    "exllamav2": dict.fromkeys(("EXL2", "GPTQ-4bit"), _AMPERE),
    "vllm": {**dict.fromkeys((*_PLAIN, *_PACKED), _TURING), "FP8": _AMPERE},
    "tgi": dict.fromkeys((*_PLAIN, *_PACKED, "FP8"), _AMPERE),
}
"""The least compute capability, by engine and by what `kind_of` calls the weights."""


def kind_of(shape: ModelShape) -> str:
    """`GGUF` and `EXL2` whatever their bits, else the lock's name: `AWQ-4bit`, `FP8`, `BF16`."""
    return {"gguf": "GGUF", "exl2": "EXL2"}.get(shape.format, shape.quantization)


def engines_of(shape: ModelShape) -> tuple[Engine, ...]:
    """The engines that read a model's weights, in the order of the table; none for what nothing reads."""
    return tuple(engine for engine, kinds in READS.items() if kind_of(shape) in kinds)


def least_capability(engine: Engine, shape: ModelShape) -> Capability | None:
    """The least compute capability on which an engine reads a model's weights; None where it doesn't."""
    return READS[engine].get(kind_of(shape))
