"""The model's shape, from GGUF headers or from config.json and safetensors headers.

`quantization` is llama.cpp's name for GGUF ("Q4_K_M"), else "EXL2-4.0bpw", "AWQ-4bit", "GPTQ-4bit", "FP8",
"INT4" (compressed-tensors), or the type that weights are stored in ("BF16").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from quant_llm.agency import ModelShape
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock import compressed_tensors
from quant_llm_tools.lock.gguf import GgufArray, GgufError, GgufHeader
from quant_llm_tools.lock.gguf_types import FILE_TYPES
from quant_llm_tools.lock.safetensors import StoredTensor, count_parameters

_ARCHITECTURE = re.compile(r"[\w.-]{1,64}", re.ASCII)
# Tables that converters put among the tensors: computed from the config, not trained.
_ROPE_TABLES = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


def bits_per_weight(weight_bytes: int, parameters: int) -> float:
    """Bytes of the weight files x 8 / parameters, to four places so that the lock reads well."""
    bits = round(weight_bytes * 8 / parameters, 4)
    if not bits:
        raise QuantLlmError(f"the headers describe {parameters:,} parameters in {weight_bytes:,} bytes")
    return bits


def gguf_shape(headers: Sequence[GgufHeader], weight_bytes: int) -> ModelShape:
    """The shape from the headers of one GGUF, or of all files of a shard set in order.

    The first file of a set carries the metadata. `weight_bytes` is the size of all files together. GgufError
    when a dimension is missing, or the files are not one whole set.
    """
    _check_shard_set(headers)
    metadata = headers[0].metadata
    architecture = _architecture("general.architecture", metadata.get("general.architecture"))

    def dimension(key: str, default: int | None = None) -> int:
        return _dimension(metadata, f"{architecture}.{key}", default)

    tensors = [tensor for header in headers for tensor in header.tensors if tensor.name not in _ROPE_TABLES]
    parameters = sum(tensor.elements for tensor in tensors)
    if not parameters:
        raise GgufError("the header lists no weights: is this a vocabulary alone?")
    vocabulary = metadata.get("tokenizer.ggml.tokens")
    embedding_size = dimension("embedding_length")
    attention_heads = dimension("attention.head_count")
    return ModelShape(
        format="gguf",
        architecture=architecture,
        quantization=_gguf_quantization(headers),
        parameters=parameters,
        bits_per_weight=bits_per_weight(weight_bytes, parameters),
        layers=dimension("block_count"),
        attention_heads=attention_heads,
        key_value_heads=dimension("attention.head_count_kv", attention_heads),
        head_size=dimension("attention.key_length", embedding_size // attention_heads),
        embedding_size=embedding_size,
        vocabulary_size=dimension(
            "vocab_size", vocabulary.length if isinstance(vocabulary, GgufArray) else None
        ),
        context_length=dimension("context_length"),
    )


def _dimension(metadata: Mapping[str, object], key: str, default: int | None) -> int:
    """A positive number of the metadata; of one that differs by layer the largest, to size for the worst."""
    value = metadata.get(key, default)
    if isinstance(value, GgufArray) and value.values:
        value = max(value.values)
    if not isinstance(value, int) or value < 1:
        found = "is missing" if value is None else f"is {value!r}, expected a positive number"
        raise GgufError(f"{key} {found} in the header: is this a language model?")
    return value


def _gguf_quantization(headers: Sequence[GgufHeader]) -> str:
    """llama.cpp's name of the mix ("Q4_K_M"), or the type of most weights ("Q4_K") without one."""
    file_type = headers[0].metadata.get("general.file_type")
    if isinstance(file_type, int) and file_type in FILE_TYPES:
        return FILE_TYPES[file_type]
    by_type: Counter[str] = Counter()
    for header in headers:
        for tensor in header.tensors:
            by_type[tensor.type.name] += tensor.elements
    return by_type.most_common(1)[0][0]


def _check_shard_set(headers: Sequence[GgufHeader]) -> None:
    for index, header in enumerate(headers):
        number, count = header.metadata.get("split.no", 0), header.metadata.get("split.count", 0) or 1
        if (number, count) != (index, len(headers)):
            raise GgufError(
                f"file {index + 1} of {len(headers)} says in its header that it is shard {number!r} "
                f"(counted from 0) of {count!r}"
            )
    stated = headers[0].metadata.get("split.tensors.count")
    found = sum(len(header.tensors) for header in headers)
    if stated is not None and stated != found:
        raise GgufError(f"the shard set has {found} tensors, its header states {stated!r}")


def safetensors_shape(
    config: Mapping[str, Any], tensors: Sequence[StoredTensor], weight_bytes: int
) -> ModelShape:
    """The shape from config.json and the tensors of all safetensors files; `weight_bytes` is their size.

    QuantLlmError when a dimension is missing, the quantisation is not a supported one, or a tensor is there
    twice.
    """
    text = config.get("text_config", config)  # a model that also sees keeps its language part apart
    if not isinstance(text, Mapping):
        raise QuantLlmError("text_config in config.json is not an object")
    twice = [name for name, count in Counter(tensor.name for tensor in tensors).items() if count > 1]
    if twice:
        raise QuantLlmError(
            f"the tensor {twice[0]!r} stands in two of the safetensors files: the weights are there twice, "
            "name the files to take in `source.files`"
        )
    weights_format, quantization, bits = _safetensors_quantization(config, tensors)
    parameters = count_parameters(tensors, bits)
    if not parameters:
        raise QuantLlmError("the safetensors headers list no weights")
    embedding_size = _config_number(text, "hidden_size")
    attention_heads = _config_number(text, "num_attention_heads")
    return ModelShape(
        format=weights_format,
        architecture=_architecture("model_type in config.json", text.get("model_type")),
        quantization=quantization,
        parameters=parameters,
        bits_per_weight=bits_per_weight(weight_bytes, parameters),
        layers=_config_number(text, "num_hidden_layers"),
        attention_heads=attention_heads,
        key_value_heads=_config_number(text, "num_key_value_heads", attention_heads),
        head_size=_config_number(text, "head_dim", embedding_size // attention_heads),
        embedding_size=embedding_size,
        vocabulary_size=_config_number(text, "vocab_size"),
        context_length=_config_number(text, "max_position_embeddings"),
        separate_embedding_bytes=_separate_embedding_bytes(tensors),
    )


def _separate_embedding_bytes(tensors: Sequence[StoredTensor]) -> int:
    """Bytes of the token embedding if the output layer is stored too; without one it uses the embedding."""
    if not any("lm_head" in tensor.name.split(".") for tensor in tensors):
        return 0
    return sum(tensor.size for tensor in tensors if tensor.name.endswith("embed_tokens.weight"))


def _safetensors_quantization(
    config: Mapping[str, Any], tensors: Sequence[StoredTensor]
) -> tuple[Literal["safetensors", "exl2"], str, int | None]:
    """Format, name of the quantisation, and the bits that packed tensors need."""
    quantization = config.get("quantization_config") or {}
    if not isinstance(quantization, Mapping):
        raise QuantLlmError("quantization_config in config.json is not an object")
    method, bits = quantization.get("quant_method"), quantization.get("bits")
    if method is None and any(tensor.name.endswith(".q_weight") for tensor in tensors):
        method = "exl2"  # converters of 2023 did not say so in config.json
    if method is None:
        by_dtype: Counter[str] = Counter()
        for tensor in tensors:
            by_dtype[tensor.dtype] += tensor.elements
        return "safetensors", by_dtype.most_common(1)[0][0] if by_dtype else "", None
    match method, bits:
        case "fp8" | "fbgemm_fp8", _:
            return "safetensors", "FP8", None
        case "compressed-tensors", _:
            return "safetensors", *compressed_tensors.weights_of(quantization)
        case "exl2", None:
            return "exl2", "EXL2", None
        case "exl2", int() | float() if 0 < bits <= 16:
            return "exl2", f"EXL2-{float(bits)}bpw", None
        case "awq" | "gptq", 2 | 3 | 4 | 8:
            return "safetensors", f"{method.upper()}-{int(bits)}bit", int(bits)
        case "awq" | "gptq" | "exl2", _:
            raise QuantLlmError(f"quantization_config.bits of {method} in config.json is {bits!r}")
    raise QuantLlmError(
        f"the quantisation method {method!r} of config.json is not supported yet, "
        "expected awq, compressed-tensors, exl2, fbgemm_fp8, fp8 or gptq"
    )


def _config_number(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        found = "is missing" if value is None else f"is {value!r}, expected a positive number"
        raise QuantLlmError(f"{key} {found} in config.json")
    return value


def _architecture(key: str, value: object) -> str:
    if not isinstance(value, str) or not _ARCHITECTURE.fullmatch(value):
        raise QuantLlmError(f"{key} is {value!r}, expected the name of an architecture")
    return value
