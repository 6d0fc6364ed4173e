"""The tokenizer's files, and which tokens end an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.errors import ModelError
from tests.integration.exllama.model_files import write_model

BEGIN, TURN, END = 256, 257, 258


def test_special_tokens_are_read_in_a_text_and_added_around_one(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode("hi", add_special_tokens=False)
    assert len(plain) == 2
    assert tokenizer.encode("hi", add_special_tokens=True) == [BEGIN, *plain]
    assert tokenizer.encode("hi<|im_end|>", add_special_tokens=False) == [*plain, END]


def test_a_truncation_in_the_file_is_of_no_effect(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    fields = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    fields["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    (path / "tokenizer.json").write_text(json.dumps(fields), encoding="utf-8")
    assert len(Tokenizer(path).encode("x" * 100, add_special_tokens=False)) == 100


@pytest.mark.parametrize(
    ("generation", "config", "ends"),
    [
        ({}, {}, {END}),
        ({"eos_token_id": [TURN, END]}, {}, {TURN, END}),
        ({"eos_token_id": TURN}, {"eos_token_id": BEGIN}, {BEGIN, TURN, END}),
        ({"eos_token_id": None}, {"eos_token_id": 9999}, {END}),
    ],
)
def test_all_files_tell_what_ends_an_answer(
    tmp_path: Path, generation: dict[str, Any], config: dict[str, Any], ends: set[int]
) -> None:
    path = write_model(tmp_path / "m", **config)
    (path / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    assert Tokenizer(path).stop_tokens == ends


def test_special_tokens_of_the_template(tokenizer: Tokenizer) -> None:
    assert tokenizer.special == {"bos_token": "<|begin|>", "eos_token": "<|im_end|>"}


def test_a_part_of_a_character_has_no_bytes(tokenizer: Tokenizer) -> None:
    (letter,) = tokenizer.encode("a", add_special_tokens=False)
    first, _ = tokenizer.encode("é", add_special_tokens=False)
    assert tokenizer.piece(letter) == ("a", [97])
    assert tokenizer.piece(END) == ("<|im_end|>", list(b"<|im_end|>"))
    assert tokenizer.piece(first)[1] is None


@pytest.mark.parametrize("content", [None, "{", '{"model": 5}'])
def test_a_tokenizer_that_can_not_be_read_is_told(tmp_path: Path, content: str | None) -> None:
    path = write_model(tmp_path / "m") / "tokenizer.json"
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokenizer.json"):
        Tokenizer(path.parent)
