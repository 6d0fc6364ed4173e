"""What the programs of EXL2 and GPTQ do without their engines: windows of a text, configuration, files."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_quantise.programs.exllamav2_source import main as prepare
from quant_llm_quantise.programs.exllamav2_source import with_rope, write
from quant_llm_quantise.programs.gptq import misfit, take_over
from quant_llm_quantise.programs.windows import calibration_windows, measured_windows

LLAMA3 = {
    "rope_theta": 500000.0,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@given(st.integers(1, 400), st.integers(1, 20), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_calibration_windows_overlap_or_change_from_run_to_run(
    size: int, length: int, count: int, seed: int
) -> None:
    tokens = range(size)
    if size < length:
        with pytest.raises(ValueError, match=f"has {size} tokens, expected at least {length}"):
            calibration_windows(tokens, length, count, seed)
        return
    windows = calibration_windows(tokens, length, count, seed)
    assert windows == calibration_windows(tokens, length, count, seed)
    assert len(windows) == min(count, size // length)
    starts = sorted(window[0] for window in windows)
    assert all(after - before >= length for before, after in pairwise(starts))
    assert all(window == list(range(window[0], window[0] + length)) for window in windows)


def test_the_seed_has_no_part_in_the_choice() -> None:
    assert len({str(calibration_windows(range(1000), 10, 5, seed)) for seed in range(20)}) == 20


@given(st.integers(0, 500), st.integers(2, 40), st.booleans())
def test_a_measured_window_lacks_tokens_or_its_bos(size: int, length: int, bos: bool) -> None:
    tokens = list(range(1, size + 1))
    whole = [0, *tokens] if bos else tokens
    if len(whole) < 2 * length:
        with pytest.raises(ValueError, match=f"expected at least {2 * length}"):
            measured_windows(tokens, length, 0 if bos else None)
        return
    windows = measured_windows(tokens, length, 0 if bos else None)
    assert len(windows) == math.floor(len(whole) / length)
    for index, window in enumerate(windows):
        there = whole[index * length : (index + 1) * length]
        assert window == ([0, *there[1:]] if bos else there)


@pytest.mark.parametrize(
    ("config", "added"),
    [
        ({"rope_theta": 1e5}, {}),
        ({"hidden_size": 64}, {}),
        ({"rope_parameters": {"rope_theta": 1e5, "rope_type": "default"}}, {"rope_theta": 1e5}),
        ({"rope_parameters": {"rope_theta": 1e5}, "rope_theta": 1e4}, {}),
        (
            {"rope_parameters": LLAMA3},
            {"rope_theta": 5e5, "rope_scaling": {k: v for k, v in LLAMA3.items() if k != "rope_theta"}},
        ),
    ],
)
def test_exllamav2_does_not_find_the_base_of_the_embedding(
    config: dict[str, Any], added: dict[str, Any]
) -> None:
    assert with_rope(config) == {**config, **added}


def test_several_bases_are_refused_and_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = {"rope_parameters": {"full_attention": {"rope_theta": 1e6}, "sliding": {"rope_theta": 1e4}}}
    (tmp_path / "config.json").write_text(json.dumps(several))
    monkeypatch.setattr("sys.argv", ["prepare", str(tmp_path), str(tmp_path.with_name("made"))])
    with pytest.raises(SystemExit, match="1"):
        prepare()
    assert "rope_parameters has no rope_theta, which ExLlamaV2 must be told" in capsys.readouterr().err


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    config = {"hidden_size": 576, "rope_parameters": {"rope_theta": 1e5}}
    (folder / "config.json").write_text(json.dumps(config))
    for name in (
        "model.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "chat_template.jinja",
    ):
        (folder / name).write_text(f"published {name}")
    return folder


def test_the_source_is_copied_or_its_config_is_changed(source: Path, tmp_path: Path) -> None:
    before = (source / "config.json").read_text()
    write(source, tmp_path / "made")
    assert (tmp_path / "made" / "model.safetensors").readlink() == source / "model.safetensors"
    assert json.loads((tmp_path / "made" / "config.json").read_text())["rope_theta"] == 1e5
    assert (source / "config.json").read_text() == before


def test_a_gptq_model_has_another_tokenizer_or_old_weights(source: Path, tmp_path: Path) -> None:
    write(source, tmp_path / "linked")
    made = tmp_path / "made"
    made.mkdir()
    (made / "model-00001-of-00001.safetensors").write_text("quantised")
    (made / "tokenizer.json").write_text("rewritten")
    settings = {"quant_method": "gptq", "bits": 4}
    (made / "config.json").write_text(json.dumps({"dtype": "x", "quantization_config": settings}))
    result = tmp_path / "result"
    result.mkdir()
    take_over(tmp_path / "linked", made, result)
    assert {path.name for path in result.iterdir()} == {
        "config.json",
        "chat_template.jinja",
        "model-00001-of-00001.safetensors",
        "tokenizer.json",
    }
    assert not any(path.is_symlink() for path in result.iterdir())
    assert (result / "tokenizer.json").read_text() == "published tokenizer.json"
    assert json.loads((result / "config.json").read_text()) == {
        "hidden_size": 576,
        "rope_parameters": {"rope_theta": 1e5},
        "rope_theta": 1e5,
        "quantization_config": settings,
    }


@pytest.mark.parametrize(
    ("config", "group_size", "message"),
    [
        ({"hidden_size": 576, "intermediate_size": 1536}, 64, None),
        (
            {"hidden_size": 576, "intermediate_size": 1536},
            128,
            "the hidden_size of 576 is no multiple of the group size 128: 32 and 64 would fit",
        ),
        (
            {"hidden_size": 4096, "intermediate_size": 11008, "head_dim": 128, "num_attention_heads": 32},
            128,
            None,
        ),
        (
            {"hidden_size": 1024, "head_dim": 80, "num_attention_heads": 15},
            64,
            "the width of all heads of 1200 is no multiple of the group size 64: no group size would fit",
        ),
    ],
)
def test_groups_that_do_not_fit_are_found_before_the_work(
    config: dict[str, Any], group_size: int, message: str | None
) -> None:
    assert misfit(config, group_size) == message
