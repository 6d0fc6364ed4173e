"""Whole models in safetensors, as those who quantise them write them.

AWQ as AutoAWQ packs it, GPTQ as GPTQModel, FP8 as transformers and as LLM Compressor, INT4 as LLM Compressor,
EXL2 as ExLlamaV2's converter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from quant_llm_tools.local_aws.hub import safetensors
from quant_llm_tools.local_aws.hub.architectures import Architecture
from quant_llm_tools.local_aws.hub.safetensors import Tensor

AWQ_SHARD_BYTES = 5_000_000_000  # transformers' "5GB"
EXL2_SHARD_BYTES = 8192 << 20  # the converter's default, `-ss 8192`

_GROUP = 128  # rows that share a scale, in both formats
_SCALE_BITS = 4

# Called with the layer's name, its inputs and its outputs.
_Linear: TypeAlias = Callable[[str, int, int], Iterator[Tensor]]


def awq(architecture: Architecture, shard_bytes: int = AWQ_SHARD_BYTES) -> dict[str, list[Tensor]]:
    """Files of a 4-bit AWQ model of version GEMM; the embedding and the head stay at 16 bit."""

    def quantized(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        groups = inputs // _GROUP
        yield Tensor(f"{name}.qweight", "I32", (inputs, outputs // 8))
        yield Tensor(f"{name}.qzeros", "I32", (groups, outputs // 8))
        yield Tensor(f"{name}.scales", "F16", (groups, outputs))

    def head(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", "F16", (outputs, inputs))

    return _named(
        safetensors.shards(list(_tensors(architecture, quantized, head)), shard_bytes), prefix="model"
    )


def exl2(
    architecture: Architecture, bits: float, head_bits: int, shard_bytes: int = EXL2_SHARD_BYTES
) -> dict[str, list[Tensor]]:
    """Files of an EXL2 model of `bits` a weight, scales included, with a head of `head_bits`.

    A converter measures, and picks the widths layer by layer; here each layer gets the mix of two widths that
    comes closest to `bits` from below.
    """

    def quantized(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        return _exl2_linear(name, inputs, outputs, _exl2_widths(inputs, outputs, bits))

    def head(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        return _exl2_linear(name, inputs, outputs, [head_bits] * (inputs // _GROUP))

    return _named(
        safetensors.shards(list(_tensors(architecture, quantized, head)), shard_bytes), prefix="output"
    )


def bf16(architecture: Architecture, shard_bytes: int) -> dict[str, list[Tensor]]:
    """Files of the model as it was trained."""

    def plain(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", "BF16", (outputs, inputs))

    return _whole(architecture, plain, shard_bytes)


def gptq(architecture: Architecture, shard_bytes: int) -> dict[str, list[Tensor]]:
    """Files of a 4-bit GPTQ model."""

    def quantized(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        groups = inputs // _GROUP
        yield Tensor(f"{name}.qweight", "I32", (inputs // 8, outputs))
        yield Tensor(f"{name}.qzeros", "I32", (groups, outputs // 8))
        yield Tensor(f"{name}.scales", "F16", (groups, outputs))
        yield Tensor(f"{name}.g_idx", "I32", (inputs,))

    return _whole(architecture, quantized, shard_bytes)


def fp8(architecture: Architecture, shard_bytes: int) -> dict[str, list[Tensor]]:
    """Files of an FP8 model with a scale for each output, the method fp8 and compressed-tensors alike."""

    def quantized(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", "F8_E4M3", (outputs, inputs))
        yield Tensor(f"{name}.weight_scale", "BF16", (outputs, 1))

    return _whole(architecture, quantized, shard_bytes)


def int4(architecture: Architecture, shard_bytes: int) -> dict[str, list[Tensor]]:
    """Files of a 4-bit model of compressed-tensors, packed into words."""

    def quantized(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight_packed", "I32", (outputs, inputs // 8))
        yield Tensor(f"{name}.weight_scale", "BF16", (outputs, inputs // _GROUP))
        yield Tensor(f"{name}.weight_shape", "I64", (2,))

    return _whole(architecture, quantized, shard_bytes)


def config(architecture: Architecture, **quantization: object) -> dict[str, object]:
    """config.json with this quantization_config, or without one."""
    return architecture.config() | ({"quantization_config": quantization} if quantization else {})


def compressed_config(
    architecture: Architecture, form: str, bits: int, kind: str, activations: Mapping[str, object] | None
) -> dict[str, object]:
    """config.json as LLM Compressor writes it: one group of layers, all but the head."""
    weights = {"num_bits": bits, "type": kind, "symmetric": True, "strategy": "group", "group_size": _GROUP}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return config(
        architecture,
        quant_method="compressed-tensors",
        format=form,
        config_groups={"group_0": group},
        ignore=["lm_head"],
    )


def awq_config(architecture: Architecture) -> dict[str, object]:
    """config.json of an AWQ model."""
    quantization = {
        "bits": 4,
        "group_size": _GROUP,
        "modules_to_not_convert": None,
        "quant_method": "awq",
        "version": "gemm",
        "zero_point": True,
    }
    return architecture.config() | {"quantization_config": quantization}


def exl2_config(architecture: Architecture, bits: float, head_bits: int) -> dict[str, object]:
    """config.json of an EXL2 model."""
    quantization = {
        "quant_method": "exl2",
        "version": "0.0.11",
        "bits": bits,
        "head_bits": head_bits,
        "calibration": {"rows": 100, "length": 2048, "dataset": "(default)"},
    }
    return architecture.config() | {"quantization_config": quantization}


def _whole(architecture: Architecture, quantized: _Linear, shard_bytes: int) -> dict[str, list[Tensor]]:
    """Embedding, norms and the head stay at 16 bits."""

    def head(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", "BF16", (outputs, inputs))

    return _named(
        safetensors.shards(list(_tensors(architecture, quantized, head)), shard_bytes), prefix="model"
    )


def _named(cuts: list[list[Tensor]], prefix: str) -> dict[str, list[Tensor]]:
    if len(cuts) == 1:
        return {f"{prefix}.safetensors": cuts[0]}
    return {
        f"{prefix}-{number:05}-of-{len(cuts):05}.safetensors": cut for number, cut in enumerate(cuts, start=1)
    }


def _tensors(architecture: Architecture, quantized: _Linear, head: _Linear) -> Iterator[Tensor]:
    hidden, key_value = architecture.hidden, architecture.key_value_size
    linears: Mapping[str, tuple[int, int]] = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden, key_value),
        "self_attn.v_proj": (hidden, key_value),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (hidden, architecture.feed_forward),
        "mlp.up_proj": (hidden, architecture.feed_forward),
        "mlp.down_proj": (architecture.feed_forward, hidden),
    }
    yield Tensor("model.embed_tokens.weight", "F16", (architecture.vocabulary.size, hidden))
    for layer in range(architecture.layers):
        prefix = f"model.layers.{layer}"
        for name, (inputs, outputs) in linears.items():
            yield from quantized(f"{prefix}.{name}", inputs, outputs)
        yield Tensor(f"{prefix}.input_layernorm.weight", "F16", (hidden,))
        yield Tensor(f"{prefix}.post_attention_layernorm.weight", "F16", (hidden,))
    yield Tensor("model.norm.weight", "F16", (hidden,))
    yield from head("lm_head", hidden, architecture.vocabulary.size)


def _exl2_linear(name: str, inputs: int, outputs: int, widths: list[int]) -> Iterator[Tensor]:
    """What `AdaptiveGPTQ.pack` writes; `widths` is the bits of each group of rows."""
    groups = len(widths)
    yield Tensor(f"{name}.q_groups", "I16", (2 * groups,))
    yield Tensor(f"{name}.q_invperm", "I32", (inputs,))
    yield Tensor(f"{name}.q_scale", "I32", (groups, outputs * _SCALE_BITS // 32))
    yield Tensor(f"{name}.q_scale_max", "F16", (groups,))
    yield Tensor(f"{name}.q_weight", "I32", (sum(widths) * _GROUP // 32, outputs))


def _exl2_widths(inputs: int, outputs: int, bits: float) -> list[int]:
    """The wide groups first, as many as keep the layer within `bits` a weight."""
    groups, wide = inputs // _GROUP, math.ceil(bits)
    used = sum(8 * tensor.size for tensor in _exl2_linear("", inputs, outputs, [wide] * groups))
    narrow = math.ceil((used - bits * inputs * outputs) / (_GROUP * outputs))
    return [wide] * (groups - narrow) + [wide - 1] * narrow
