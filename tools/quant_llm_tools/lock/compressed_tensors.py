"""What a `quantization_config` of the method compressed-tensors says of the weights.

It is what LLM Compressor writes: a format, and groups of layers with the arguments of each. The forms taken
here are those that vLLM and TGI both read: FP8, and integers of 4 or 8 bits in 32-bit words with activations
in 16 bits.

Forms: https://github.com/neuralmagic/compressed-tensors, QuantizationConfig and CompressionFormat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm.errors import QuantLlmError

FP8_FORMATS = ("float-quantized", "naive-quantized")
PACKED_FORMAT = "pack-quantized"


def weights_of(quantization: Mapping[str, Any]) -> tuple[str, int | None]:
    """Name of the quantisation (`FP8`, `INT4`, `INT8`), and the bits that packed tensors need.

    QuantLlmError when the groups are missing, differ, or have another form.
    """
    groups = quantization.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise QuantLlmError(
            "quantization_config.config_groups of compressed-tensors in config.json is missing"
        )
    found = {_weights_of(group, quantization.get("format")) for group in groups.values()}
    if len(found) > 1:
        raise QuantLlmError(
            "quantization_config.config_groups in config.json has weights of several forms, expected one"
        )
    return found.pop()


def _weights_of(group: Any, shared_format: Any) -> tuple[str, int | None]:
    if not isinstance(group, Mapping):
        raise QuantLlmError(
            f"quantization_config.config_groups in config.json has {group!r}, expected an object"
        )
    form = group.get("format") or shared_format
    match group.get("weights"):
        case {"num_bits": 8, "type": "float"} if form in FP8_FORMATS:
            return "FP8", None
        case {"num_bits": 4 | 8 as bits, "type": "int"} if (
            form == PACKED_FORMAT and group.get("input_activations") is None
        ):
            return f"INT{bits}", int(bits)
    raise QuantLlmError(
        f"the compressed-tensors format {form!r} of config.json is not supported yet with these weights, "
        f"expected 8-bit floats, or integers of 4 or 8 bits in {PACKED_FORMAT!r} with activations in 16 bits"
    )
