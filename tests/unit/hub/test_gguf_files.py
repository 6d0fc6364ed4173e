"""The GGUF headers, read by the format's reference reader, and the sizes of the published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from quant_llm_tools.local_aws.hub.architectures import MISTRAL_7B, QWEN_2_5_14B, TINY
from quant_llm_tools.local_aws.hub.content import GeneratedContent
from quant_llm_tools.local_aws.hub.gguf_models import Quantization, shards, whole


def reader(content: GeneratedContent, folder: Path) -> gguf.GGUFReader:
    """The reader over the header and a hole of the body's size."""
    path = folder / f"{content.seed}.gguf"
    with path.open("wb") as file:
        file.write(content.header)
        file.truncate(content.size)
    return gguf.GGUFReader(path)


def field(model: gguf.GGUFReader, name: str) -> Any:
    found = model.get_field(name)
    assert found is not None, name
    return found.contents()


@pytest.mark.parametrize(
    ("quantization", "published"),
    [
        (Quantization.Q4_0, 4_108_917_024),
        (Quantization.Q4_K_M, 4_368_439_584),
        (Quantization.Q5_K_M, 5_131_409_696),
        (Quantization.Q6_K, 5_942_065_440),
        (Quantization.Q8_0, 7_695_857_952),
    ],
)
def test_mistral_files_have_the_published_sizes(quantization: Quantization, published: int) -> None:
    assert whole(MISTRAL_7B, quantization).size == published


def test_qwen_shards_have_the_published_sizes() -> None:
    sizes = [shard.size for shard in shards(QWEN_2_5_14B, Quantization.Q4_K_M)]
    assert sizes == [3_991_999_872, 3_989_373_504, 1_006_737_120]


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> gguf.GGUFReader:
    return reader(whole(MISTRAL_7B, Quantization.Q4_K_M), tmp_path_factory.mktemp("mistral"))


def test_the_reference_reader_finds_the_model_s_dimensions(mistral: gguf.GGUFReader) -> None:
    dimensions = {
        "general.architecture": "llama",
        "general.file_type": 15,
        "llama.block_count": 32,
        "llama.embedding_length": 4096,
        "llama.feed_forward_length": 14336,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.context_length": 32768,
        "llama.rope.freq_base": 1_000_000.0,
        "tokenizer.ggml.add_bos_token": True,
    }
    assert {name: field(mistral, name) for name in dimensions} == dimensions
    tokens = field(mistral, "tokenizer.ggml.tokens")
    assert len(set(tokens)) == len(field(mistral, "tokenizer.ggml.scores")) == 32_000


def test_the_reference_reader_finds_all_tensors_and_no_byte_is_left_over(mistral: gguf.GGUFReader) -> None:
    content = whole(MISTRAL_7B, Quantization.Q4_K_M)
    tensors = {tensor.name: tensor for tensor in mistral.tensors}
    assert len(tensors) == 291
    assert sum(tensor.n_elements for tensor in tensors.values()) == 7_241_732_096
    assert list(tensors["blk.31.ffn_down.weight"].shape) == [14336, 4096]
    precise = [n for n in range(32) if tensors[f"blk.{n}.ffn_down.weight"].tensor_type.name == "Q6_K"]
    assert precise == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert tensors["blk.0.attn_norm.weight"].tensor_type.name == "F32"
    assert tensors["token_embd.weight"].data_offset == len(content.header)
    last = tensors["output.weight"]
    assert last.tensor_type.name == "Q6_K"
    assert last.data_offset + last.n_bytes == content.size


def test_only_the_first_shard_has_the_metadata_and_all_are_numbered(tmp_path: Path) -> None:
    contents = shards(TINY, Quantization.Q8_0, shard_bytes=3_000_000)
    readers = [reader(content, tmp_path) for content in contents]
    assert [field(model, "split.no") for model in readers] == [0, 1, 2]
    assert {field(model, "split.count") for model in readers} == {3}
    assert {field(model, "split.tensors.count") for model in readers} == {
        sum(len(model.tensors) for model in readers)
    }
    assert [model.get_field("general.architecture") is not None for model in readers] == [True, False, False]


def test_byte_level_models_have_merges_and_biases(tmp_path: Path) -> None:
    second = reader(shards(QWEN_2_5_14B, Quantization.Q4_K_M)[1], tmp_path)
    biases = [tensor for tensor in second.tensors if tensor.name.endswith("attn_q.bias")]
    assert biases
    assert {tuple(tensor.shape) for tensor in biases} == {(5120,)}
    rules = QWEN_2_5_14B.vocabulary.merge_rules()
    assert len(set(rules)) == 151_387
    assert all(rule.count(" ") == 1 for rule in rules[:1000])
