"""Which bytes a model is, from its template and its lock."""

from __future__ import annotations

import json
from typing import Any

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.weights import weights
from quant_llm_tools.review.model import Change
from tests.unit.review.templates import STACK, resource

COMMIT = "a" * 40
FILE = {"Path": "m.gguf", "Size": str(2**30), "Sha256": "1" * 64}
SHAPE = {"quantization": "Q4_K_M", "layers": 32}


def stack_side(
    files: list[dict[str, Any]], *, commit: str = COMMIT, repository: str = "o/m", shape: object = SHAPE
) -> StackSide:
    artifact = resource(
        "Custom::ModelArtifact",
        "chat/Artifact/Resource/Default",
        {"Repository": repository, "Commit": commit, "Files": files},
    )
    lock = None if shape is None else json.dumps({"models": {"chat": {"shape": shape}}})
    return StackSide({"Resources": {"A": artifact}}, lock=lock)


def said(before: StackSide, after: StackSide) -> Change | None:
    return next(weights(Comparison(STACK, before, after, effects={})), None)


def test_the_same_weights_are_silent() -> None:
    assert said(stack_side([FILE]), stack_side([FILE])) is None


def test_another_quantisation_shows_both_sizes_hashes_and_kinds() -> None:
    other = {"Path": "m.gguf", "Size": str(2**31), "Sha256": "2" * 64}
    change = said(stack_side([FILE]), stack_side([other], shape={**SHAPE, "quantization": "Q8_0"}))
    assert change is not None
    assert change.summary == "1 file differs, 1.00 GiB become 2.00 GiB, Q4_K_M becomes Q8_0"
    assert change.after == {
        "m.gguf": f"2,147,483,648 bytes, sha256 {'2' * 64}",
        "total bytes": 2**31,
        "quantization": "Q8_0",
    }


def test_the_same_bytes_of_another_commit_move_nothing() -> None:
    change = said(stack_side([FILE]), stack_side([FILE], commit="b" * 40))
    assert change is not None
    assert change.summary == "another commit with the same files"
    assert "goes on serving" in change.effect
    assert change.after == {"commit": "b" * 40}


def test_a_live_side_without_a_lock_compares_files_and_no_shape() -> None:
    assert said(stack_side([FILE], shape=None), stack_side([FILE])) is None
    change = said(stack_side([FILE], shape=None), stack_side([{**FILE, "Sha256": "2" * 64}]))
    assert change is not None
    assert change.summary == "1 file differs, with the same size"


def test_of_many_files_the_first_are_shown_and_the_others_counted() -> None:
    files = [{**FILE, "Path": f"{number:02}.safetensors"} for number in range(20)]
    change = said(stack_side([FILE]), stack_side(files))
    assert change is not None
    assert change.summary.startswith("21 files differ")
    assert change.after["further files"] == 12


ADAPTER: dict[str, Any] = {
    "Path": "adapters/law.gguf",
    "Size": "4096",
    "Sha256": "3" * 64,
    "Origin": {"Repository": "o/law", "Commit": "c" * 40, "Path": "law.gguf"},
}


def test_a_new_adapter_shows_its_bytes_and_where_they_are_from() -> None:
    change = said(stack_side([FILE]), stack_side([FILE, ADAPTER]))
    assert change is not None
    assert change.summary == "1 file differs, 1.00 GiB become 1.00 GiB"
    assert change.after["adapters/law.gguf"] == f"4,096 bytes, sha256 {'3' * 64}"
    assert change.after["source of adapters/law.gguf"] == f"law.gguf of o/law at {'c' * 40}"


def test_the_same_adapter_of_another_repository_moves_nothing() -> None:
    moved = {**ADAPTER, "Origin": {**ADAPTER["Origin"], "Repository": "o/other"}}
    change = said(stack_side([FILE, ADAPTER]), stack_side([FILE, moved]))
    assert change is not None
    assert change.summary == "another source of the same files"
    assert "goes on serving" in change.effect
    assert change.after == {"source of adapters/law.gguf": f"law.gguf of o/other at {'c' * 40}"}
