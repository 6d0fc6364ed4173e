"""The shape out of headers and config.json."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.gguf import GgufArray, GgufHeader, GgufTensor
from quant_llm_tools.lock.gguf_types import TENSOR_TYPES
from quant_llm_tools.lock.safetensors import StoredTensor
from quant_llm_tools.lock.shape import gguf_shape, safetensors_shape
from tests.unit.lock.fakes import CONFIG, gguf_header


def test_gguf_shape_is_read_from_the_metadata() -> None:
    shape = gguf_shape([gguf_header()], 6800)
    assert shape.model_dump() == {
        "format": "gguf",
        "architecture": "llama",
        "quantization": "Q8_0",
        "parameters": 6400,
        "bits_per_weight": 8.5,
        "layers": 2,
        "attention_heads": 4,
        "key_value_heads": 2,
        "head_size": 16,
        "embedding_size": 64,
        "vocabulary_size": 300,
        "context_length": 512,
    }


def test_stated_head_size_and_vocabulary_win_over_derived_ones() -> None:
    shape = gguf_shape([gguf_header({"llama.attention.key_length": 32, "llama.vocab_size": 299})], 1)
    assert (shape.head_size, shape.vocabulary_size) == (32, 299)


def test_without_key_value_heads_every_head_has_its_own() -> None:
    assert gguf_shape([gguf_header({"llama.attention.head_count_kv": None})], 1).key_value_heads == 4


def test_heads_that_differ_by_layer_are_sized_for_the_largest() -> None:
    header = gguf_header({"llama.attention.head_count_kv": GgufArray(2, (1, 3))})
    assert gguf_shape([header], 1).key_value_heads == 3


def test_rope_tables_are_no_parameters() -> None:
    header = gguf_header()
    table = GgufTensor("rope_freqs.weight", (64,), TENSOR_TYPES[0], 0)
    assert gguf_shape([GgufHeader(3, header.metadata, (*header.tensors, table))], 1).parameters == 6400


@pytest.mark.parametrize("file_type", [None, 1024, 33])
def test_unnamed_mix_is_called_by_the_type_of_most_weights(file_type: int | None) -> None:
    header = gguf_header({"general.file_type": file_type}, kind=12)
    small = GgufTensor("norm", (64,), TENSOR_TYPES[0], 0)
    shape = gguf_shape([GgufHeader(3, header.metadata, (small, small, *header.tensors))], 1)
    assert shape.quantization == "Q4_K"


def split(number: int, count: int, tensors: int, total: int | None = None) -> GgufHeader:
    whole = gguf_header(tensors=tensors)
    metadata = {"split.no": number, "split.count": count, "split.tensors.count": total or 0}
    if number == 0:
        metadata = {**whole.metadata, **metadata}  # type: ignore[dict-item]  # the other values are no numbers
    return GgufHeader(3, metadata, whole.tensors)


def test_shard_set_counts_the_tensors_of_all_files() -> None:
    shape = gguf_shape([split(0, 2, 1, total=4), split(1, 2, 3)], 27200)
    assert (shape.parameters, shape.bits_per_weight) == (4 * 6400, 8.5)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([split(0, 2, 1, 1)], r"file 1 of 1 says in its header that it is shard 0 \(counted from 0\) of 2"),
        ([split(1, 2, 1), split(0, 2, 1, 2)], "file 1 of 2 says"),
        ([gguf_header(), gguf_header()], "file 1 of 2 says"),
        ([split(0, 2, 1, 5), split(1, 2, 3)], "has 4 tensors, its header states 5"),
        ([gguf_header({"general.architecture": None})], "general.architecture is None, expected"),
        ([gguf_header({"llama.block_count": None})], "llama.block_count is missing"),
        ([gguf_header({"llama.block_count": 0})], "llama.block_count is 0, expected a positive number"),
        ([gguf_header({"llama.context_length": "long"})], "is 'long', expected"),
        ([gguf_header({"llama.attention.head_count": GgufArray(2, None)})], "head_count is GgufArray"),
        ([gguf_header({"tokenizer.ggml.tokens": None})], "llama.vocab_size is missing"),
        ([gguf_header(tensors=0)], "lists no weights"),
    ],
)
def test_header_without_a_whole_language_model_is_refused(headers: list[GgufHeader], message: str) -> None:
    with pytest.raises(QuantLlmError, match=message):
        gguf_shape(headers, 1000)


WEIGHTS = [StoredTensor("a.weight", "BF16", (64, 100)), StoredTensor("norm", "F32", (64,))]


def test_safetensors_shape_is_read_from_config_and_tensors() -> None:
    shape = safetensors_shape(CONFIG, WEIGHTS, 12928)
    assert shape.model_dump() == {
        "format": "safetensors",
        "architecture": "llama",
        "quantization": "BF16",
        "parameters": 6464,
        "bits_per_weight": 16.0,
        "layers": 2,
        "attention_heads": 4,
        "key_value_heads": 2,
        "head_size": 16,
        "embedding_size": 64,
        "vocabulary_size": 300,
        "context_length": 512,
    }


def test_language_part_of_a_model_that_sees_is_used() -> None:
    shape = safetensors_shape({"model_type": "gemma3", "text_config": {**CONFIG, "head_dim": 32}}, WEIGHTS, 1)
    assert (shape.architecture, shape.head_size) == ("llama", 32)


def test_null_in_the_config_is_as_absent() -> None:
    shape = safetensors_shape({**CONFIG, "head_dim": None, "num_key_value_heads": None}, WEIGHTS, 1)
    assert (shape.head_size, shape.key_value_heads) == (16, 4)


def compressed(form: str, bits: int, kind: str, **group: Any) -> dict[str, Any]:
    """A quantization_config as LLM Compressor writes it, with one group of layers."""
    weights = {"num_bits": bits, "type": kind, "symmetric": True, "strategy": "group", "group_size": 128}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None, **group}}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": groups,
        "ignore": ["lm_head"],
    }


PACKED = [StoredTensor("a.qweight", "I32", (64, 100))]
MIXED = compressed("pack-quantized", 4, "int")
MIXED["config_groups"]["group_1"] = {
    **MIXED["config_groups"]["group_0"],
    "weights": {"num_bits": 8, "type": "int"},
}
COMPRESSED = [
    StoredTensor("a.weight_packed", "I32", (64, 100)),
    StoredTensor("a.weight_scale", "BF16", (64, 1)),
    StoredTensor("a.weight_zero_point", "I32", (64, 1)),
    StoredTensor("a.weight_g_idx", "I32", (100,)),
    StoredTensor("a.weight_shape", "I64", (2,)),
    StoredTensor("norm.weight", "BF16", (64,)),
]
EXL2 = [StoredTensor("a.q_weight", "I32", (8, 100)), StoredTensor("a.q_invperm", "I32", (64,))]


@pytest.mark.parametrize(
    ("quantization", "tensors", "expected"),
    [
        ({"quant_method": "awq", "bits": 4}, PACKED, ("safetensors", "AWQ-4bit", 51200)),
        ({"quant_method": "gptq", "bits": 8}, PACKED, ("safetensors", "GPTQ-8bit", 25600)),
        ({"quant_method": "fp8"}, WEIGHTS, ("safetensors", "FP8", 6464)),
        ({"quant_method": "fbgemm_fp8"}, WEIGHTS, ("safetensors", "FP8", 6464)),
        (compressed("float-quantized", 8, "float"), WEIGHTS, ("safetensors", "FP8", 6464)),
        (compressed("pack-quantized", 4, "int"), COMPRESSED, ("safetensors", "INT4", 51264)),
        (compressed("pack-quantized", 8, "int"), COMPRESSED, ("safetensors", "INT8", 25664)),
        ({"quant_method": "exl2", "bits": 4.25}, EXL2, ("exl2", "EXL2-4.25bpw", 6400)),
        ({"quant_method": "exl2", "bits": 4}, EXL2, ("exl2", "EXL2-4.0bpw", 6400)),
        (None, EXL2, ("exl2", "EXL2", 6400)),
    ],
)
def test_quantisation_is_named_and_its_weights_are_counted(
    quantization: dict[str, Any] | None, tensors: list[StoredTensor], expected: tuple[str, str, int]
) -> None:
    shape = safetensors_shape({**CONFIG, "quantization_config": quantization}, tensors, 1000)
    assert (shape.format, shape.quantization, shape.parameters) == expected


@pytest.mark.parametrize(
    ("changed", "tensors", "message"),
    [
        ({"hidden_size": None}, WEIGHTS, "hidden_size is missing in config.json"),
        ({"num_hidden_layers": "2"}, WEIGHTS, "is '2', expected a positive number"),
        ({"vocab_size": True}, WEIGHTS, "vocab_size is True"),
        ({"num_attention_heads": 128}, WEIGHTS, "head_dim is 0"),
        ({"model_type": ""}, WEIGHTS, "model_type in config.json is '', expected the name"),
        ({"text_config": 1}, WEIGHTS, "text_config in config.json is not an object"),
        ({"quantization_config": 1}, WEIGHTS, "quantization_config in config.json is not an object"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, WEIGHTS, "not supported yet"),
        (
            {"quantization_config": {"quant_method": "compressed-tensors"}},
            WEIGHTS,
            "config_groups .* missing",
        ),
        (
            {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": 1}}},
            WEIGHTS,
            "has 1, expected an object",
        ),
        ({"quantization_config": compressed("nvfp4-pack-quantized", 4, "float")}, WEIGHTS, "'nvfp4-pack"),
        ({"quantization_config": compressed("int-quantized", 8, "int")}, WEIGHTS, "'int-quantized'"),
        ({"quantization_config": compressed("pack-quantized", 3, "int")}, WEIGHTS, "4 or 8 bits"),
        (
            {
                "quantization_config": compressed(
                    "pack-quantized", 4, "int", input_activations={"num_bits": 8}
                )
            },
            WEIGHTS,
            "activations in 16 bits",
        ),
        ({"quantization_config": MIXED}, WEIGHTS, "weights of several forms"),
        ({}, COMPRESSED, "'a.weight_packed' is packed"),
        ({"quantization_config": {"quant_method": "awq", "bits": "4"}}, PACKED, "bits of awq in .* is '4'"),
        ({"quantization_config": {"quant_method": "gptq"}}, PACKED, "bits of gptq in .* is None"),
        (
            {"quantization_config": {"quant_method": "exl2", "bits": float("nan")}},
            EXL2,
            "bits of exl2 in .* nan",
        ),
        ({"model_type": "\ud800"}, WEIGHTS, "expected the name of an architecture"),
        ({}, [StoredTensor("a", "BF16", (10**12,))], "1,000,000,000,000 parameters in 1,000 bytes"),
        ({}, PACKED, "'a.qweight' is packed"),
        ({}, [*WEIGHTS, *WEIGHTS], "'a.weight' stands in two of the safetensors files"),
        ({}, [], "list no weights"),
    ],
)
def test_config_that_tells_no_shape_is_refused(
    changed: dict[str, Any], tensors: list[StoredTensor], message: str
) -> None:
    with pytest.raises(QuantLlmError, match=message):
        safetensors_shape({**CONFIG, **changed}, tensors, 1000)


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers())
)
quantizations = st.fixed_dictionaries(
    {
        "quant_method": values | st.sampled_from(["awq", "gptq", "exl2", "fp8", "compressed-tensors"]),
        "bits": values,
        "format": values | st.sampled_from(["pack-quantized", "float-quantized"]),
        "config_groups": values
        | st.dictionaries(
            st.text(max_size=2),
            values | st.fixed_dictionaries({"weights": values | st.fixed_dictionaries({"num_bits": values})}),
        ),
    }
)
configs = st.dictionaries(st.sampled_from([*CONFIG, "head_dim"]), values | st.integers(1, 2**70))


@given(configs, values | quantizations, st.sampled_from([WEIGHTS, PACKED, EXL2]), st.integers(0, 2**60))
def test_random_configs_only_raise_the_clear_error(
    changed: dict[str, Any], quantization: Any, tensors: list[StoredTensor], weight_bytes: int
) -> None:
    config = {**CONFIG, **changed, "quantization_config": quantization}
    try:
        safetensors_shape(config, tensors, weight_bytes).model_dump_json()
    except QuantLlmError:
        return
