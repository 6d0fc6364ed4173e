"""Which folder is the model, and what is told if there is none, or one that isn't whole."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from quant_llm_serving.environment import read_environment
from quant_llm_serving.errors import ModelError
from quant_llm_serving.exllama import ExLlama
from quant_llm_serving.model_folder import ModelFolder
from tests.integration.exllama.model_files import write_model, write_safetensors


def find(directory: Path, selector: str = "") -> ModelFolder:
    return ExLlama().find_model(read_environment({"SM_MODEL_DIR": str(directory), "MODEL": selector}))


def test_the_one_model_is_found(tmp_path: Path) -> None:
    path = write_model(tmp_path / "deep" / "mistral-7b-exl2", method="exl2")
    (tmp_path / "code").mkdir()
    assert find(tmp_path) == ModelFolder(path, "mistral-7b-exl2", "exl2")


def test_a_model_in_the_model_directory_itself(tmp_path: Path) -> None:
    path = write_model(tmp_path / "x")
    (path / "original").mkdir()
    (path / "original" / "config.json").write_text("{}", encoding="utf-8")
    (path / "._config.json").write_text("macOS", encoding="utf-8")
    assert find(path) == ModelFolder(path, "model", "gptq")


@pytest.mark.parametrize("selector", ["b", "/opt/ml/model/b", "b*", "./b"])
def test_model_names_one_of_several(tmp_path: Path, selector: str) -> None:
    for name in ("a", "b"):
        write_model(tmp_path / name)
    assert find(tmp_path, selector).path.resolve() == tmp_path / "b"


def test_several_models_are_listed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(tmp_path / name)
    with pytest.raises(ModelError, match=r"2 models in .*expected one \(MODEL can name it\), found a, b"):
        find(tmp_path)


def test_no_model_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"no folder with a config.json in .*, found model.gguf"):
        find(tmp_path)
    with pytest.raises(ModelError, match=r"MODEL 'x' matches no folder"):
        find(tmp_path, "x")
    with pytest.raises(ModelError, match="does not exist"):
        find(tmp_path / "nothing")


def test_a_format_of_other_engines_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "m", method="awq")
    with pytest.raises(ModelError, match="quantised as awq, expected one of exl2, gptq, exl3"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("tokenizer.json", "no tokenizer.json in"), ("model.safetensors", "no safetensors file in")],
)
def test_a_missing_file_is_told(tmp_path: Path, name: str, message: str) -> None:
    path = write_model(tmp_path / "m")
    (path / name).unlink()
    with pytest.raises(ModelError, match=message):
        find(tmp_path)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    shards = [f"model-{number:05d}-of-00002.safetensors" for number in (1, 2)]
    (path / "model.safetensors").rename(path / shards[0])
    index = path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}), encoding="utf-8")
    with pytest.raises(ModelError, match=f"not complete: missing {shards[1]}"):
        find(tmp_path)
    write_safetensors(path / shards[1])
    assert find(tmp_path).path == path


def test_an_index_of_the_original_is_no_fault(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    index = {"weight_map": {"a": "original-1.safetensors", "b": "original-2.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert find(tmp_path).path == path


@pytest.mark.parametrize("kept", [0, 7, 8, 30, -1])
def test_a_file_that_is_cut_off_is_told(tmp_path: Path, kept: int) -> None:
    path = write_model(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model.safetensors is (cut off|not a safetensors file)"):
        find(tmp_path)


@pytest.mark.parametrize(
    "header", [b"{}}", b"{", b'{"w": {}}', b'{"w": 5}', b'{"w": {"data_offsets": "x"}}', b"[]"]
)
def test_a_header_of_nonsense_is_told(tmp_path: Path, header: bytes) -> None:
    path = write_model(tmp_path / "m") / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ModelError, match=r"header that can't be read|not a safetensors file"):
        find(tmp_path)


def test_a_config_that_is_no_json_is_told(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    (path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"config.json can't be read"):
        find(tmp_path)
