"""The safetensors headers, and the sizes that follow from the tensors."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest

from quant_llm_tools.local_aws.hub import safetensors
from quant_llm_tools.local_aws.hub.architectures import CODELLAMA_34B, LLAMA_3_70B, TINY, Architecture
from quant_llm_tools.local_aws.hub.content import GeneratedContent
from quant_llm_tools.local_aws.hub.safetensors import Tensor
from quant_llm_tools.local_aws.hub.safetensors_models import awq, bf16, exl2, fp8, gptq, int4

BYTES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "I16": 2, "I32": 4, "I64": 8}


def parsed(content: GeneratedContent) -> dict[str, Any]:
    """The tensors of a header that follows the format's rules."""
    (length,) = struct.unpack("<Q", content.header[:8])
    assert length % 8 == 0
    assert len(content.header) == 8 + length
    tensors: dict[str, Any] = json.loads(content.header[8:])
    assert tensors.pop("__metadata__") == {"format": "pt"}
    end = 0
    for tensor in tensors.values():
        begin, last = tensor["data_offsets"]
        assert begin == end
        assert last - begin == math.prod(tensor["shape"]) * BYTES[tensor["dtype"]]
        end = last
    assert len(content.header) + end == content.size
    return tensors


@pytest.mark.parametrize("architecture", [LLAMA_3_70B, CODELLAMA_34B, TINY], ids=lambda each: each.name)
def test_tensors_fill_the_file_without_gaps(architecture: Architecture) -> None:
    others = (make(architecture, shard_bytes=5_000_000_000) for make in (bf16, gptq, fp8, int4))
    for files in (awq(architecture), exl2(architecture, bits=4.0, head_bits=6), *others):
        for path, tensors in files.items():
            assert set(parsed(safetensors.content(tensors, seed=path))) == {each.name for each in tensors}


def test_awq_has_the_layout_of_the_published_model() -> None:
    files = awq(LLAMA_3_70B)
    assert list(files) == [f"model-{number:05}-of-00009.safetensors" for number in range(1, 10)]
    tensors = {tensor.name: tensor for shard in files.values() for tensor in shard}
    down = "model.layers.79.mlp.down_proj"
    assert tensors[f"{down}.qweight"] == Tensor(f"{down}.qweight", "I32", (28672, 1024))
    assert tensors[f"{down}.qzeros"] == Tensor(f"{down}.qzeros", "I32", (224, 1024))
    assert tensors[f"{down}.scales"] == Tensor(f"{down}.scales", "F16", (224, 8192))
    assert tensors["lm_head.weight"] == Tensor("lm_head.weight", "F16", (128_256, 8192))
    index = safetensors.index(files)
    assert index["metadata"] == {"total_size": 39_767_785_472}
    weight_map = index["weight_map"]
    assert isinstance(weight_map, dict)
    assert weight_map["lm_head.weight"] == "model-00009-of-00009.safetensors"


def test_exl2_layers_have_just_the_bits_that_were_asked_for() -> None:
    files = exl2(CODELLAMA_34B, bits=4.0, head_bits=6)
    assert list(files) == [f"output-{number:05}-of-00003.safetensors" for number in range(1, 4)]
    tensors = [tensor for shard in files.values() for tensor in shard]
    for name, weights in (("model.layers.0.mlp.up_proj", 8192 * 22016), ("lm_head", 8192 * 32000)):
        stored = {each.name.rpartition(".")[2]: each for each in tensors if each.name.startswith(name + ".")}
        assert set(stored) == {"q_groups", "q_invperm", "q_scale", "q_scale_max", "q_weight"}
        bits = 8 * sum(tensor.size for tensor in stored.values()) / weights
        expected = 4.0 if name != "lm_head" else 6.0 + 4 / 128  # the head's scales come on top
        assert bits == pytest.approx(expected, abs=0.03)
    assert not any(tensor.name == "lm_head.weight" for tensor in tensors)


def test_a_model_of_one_shard_has_no_numbers_in_its_name() -> None:
    assert list(exl2(TINY, bits=4.0, head_bits=6)) == ["output.safetensors"]
