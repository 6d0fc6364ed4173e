"""Models of random weights, at a tiny shape: the files are what the engines read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as GgmlType
from gguf import GGUFReader

from benchmarks.gpu.random_models import SHAPES, Shape, write_exl2, write_gguf, write_gptq
from benchmarks.gpu.safetensors_file import write_safetensors

SHAPE = Shape(
    name="tiny",
    layers=2,
    hidden=256,
    feed_forward=512,
    heads=4,
    kv_heads=2,
    vocabulary=1000,
    context_length=1024,
)
KV = 2 * 64


def tensors(file: Path) -> dict[str, np.ndarray]:
    """What a safetensors file has, read by its specification."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    del header["__metadata__"]
    dtypes = {"F16": np.float16, "I32": np.int32, "I16": np.int16}
    found, end = {}, 0
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        assert first == end, f"a gap before {name}"
        end = last
        data = np.frombuffer(content[start + first : start + last], dtypes[entry["dtype"]])
        found[name] = data.reshape(entry["shape"])
    assert start + end == len(content)
    return found


@pytest.mark.parametrize(
    ("name", "billions"),
    [("CodeLlama-7B", 6.74), ("CodeLlama-13B", 13.02), ("CodeLlama-34B", 33.74), ("Llama-3.1-8B", 8.03)],
)
def test_the_shapes_have_as_many_parameters_as_published(name: str, billions: float) -> None:
    assert SHAPES[name].parameters / 1e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize("kind", [GgmlType.Q4_0, GgmlType.Q8_0])
def test_a_gguf_file_has_every_matrix_in_its_kind(tmp_path: Path, kind: GgmlType) -> None:
    write_gguf(SHAPE, tmp_path / "m.gguf", kind)
    found = {tensor.name: tensor for tensor in GGUFReader(tmp_path / "m.gguf").tensors}
    for ours, _, inputs, outputs in SHAPE.matrices():
        assert found[f"{ours}.weight"].shape.tolist() == [inputs, outputs]
        assert found[f"{ours}.weight"].tensor_type == kind
    assert found["output.weight"].shape.tolist() == [256, 1000]
    matrices = sum(int(tensor.n_elements) for tensor in found.values() if tensor.tensor_type == kind)
    assert matrices == SHAPE.parameters


def test_a_gptq_checkpoint_has_four_tensors_for_each_matrix(tmp_path: Path) -> None:
    write_gptq(SHAPE, tmp_path / "m")
    found = tensors(tmp_path / "m" / "model.safetensors")
    for _, name, inputs, outputs in SHAPE.matrices():
        assert found[f"{name}.qweight"].shape == (inputs * 4 // 32, outputs)
        assert found[f"{name}.qzeros"].shape == (inputs // 128, outputs * 4 // 32)
        assert found[f"{name}.scales"].shape == (inputs // 128, outputs)
        assert found[f"{name}.g_idx"].max() == inputs // 128 - 1
    assert found["lm_head.weight"].shape == found["model.embed_tokens.weight"].shape == (1000, 256)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "gptq"
    assert config["num_key_value_heads"] * SHAPE.head_size == KV


def test_an_exl2_checkpoint_has_groups_rows_and_a_permutation(tmp_path: Path) -> None:
    write_exl2(SHAPE, tmp_path / "m")
    found = tensors(tmp_path / "m" / "model.safetensors")
    widths = [(name, inputs, outputs, 4) for _, name, inputs, outputs in SHAPE.matrices()]
    for name, inputs, outputs, bits in (*widths, ("lm_head", 256, 1024, 6)):  # padded to 32 columns
        groups = inputs // 128
        assert found[f"{name}.q_weight"].shape == (inputs * bits // 32, outputs)
        assert found[f"{name}.q_scale"].shape == (groups, outputs * 4 // 32)
        assert found[f"{name}.q_scale_max"].shape == (groups,)
        rows = [row for group in range(groups) for row in (bits, group * 128 * bits // 32)]
        assert found[f"{name}.q_groups"].tolist() == rows
        assert sorted(found[f"{name}.q_invperm"].tolist()) == list(range(inputs))


def test_weights_are_small_numbers_of_both_signs(tmp_path: Path) -> None:
    write_gptq(SHAPE, tmp_path / "m")
    table = tensors(tmp_path / "m" / "model.safetensors")["model.embed_tokens.weight"].astype(np.float32)
    assert np.abs(table).min() >= 0.0019
    assert np.abs(table).max() < 0.004
    assert abs(table.mean()) < 0.0001


def test_an_array_of_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_safetensors(tmp_path / "m", {"x": np.zeros(2, np.float64)})
