"""Recipes in agency files, and what the lock must have before a model may serve a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm.agency import (
    AgencyFileError,
    AgencyLock,
    LockedFile,
    LockedSource,
    ModelLock,
    QuantiseLock,
    QuantiseRecipe,
    QuantiseResult,
    load_agency,
    lock_path,
    locked,
    locked_recipes,
    recipe_of,
)
from tests.unit.agency.test_locked import SHAPE

FILE = """\
agency: moh
environment: {account: "123456789012", region: us-east-1}
quantise:
  - name: own-q4
    source: {hub: owner/whole, revision: v1}
    method: gguf
    type: Q4_K_M
    instance_type: ml.m5.4xlarge
models:
  - name: own
    source: {hub: owner/whole, revision: v1, quantised: own-q4}
    engine: llama.cpp
    instance_type: ml.g4dn.xlarge
    context_length: 2048
    concurrency: 1
"""
TYPE = "    method: gguf\n    type: Q4_K_M\n"
GPTQ = "    method: gptq\n    bits: 4\n    calibration: words.txt\n"
ON_GPU = FILE.replace(TYPE, GPTQ).replace("ml.m5.4xlarge", "ml.g5.2xlarge")
SOURCE = ModelLock(
    source=LockedSource(hub="owner/whole", revision="v1", files=[]),
    commit="c" * 40,
    files=[LockedFile(path="model.safetensors", size=10, sha256="d" * 64)],
    shape=SHAPE.model_copy(update={"format": "safetensors", "quantization": "BF16"}),
)
RESULT = QuantiseResult(
    prefix="quantised/own-q4/moh-own-q4-1/files/",
    source_digest=SOURCE.digest,
    recipe=QuantiseRecipe(method="gguf", type="Q4_K_M"),
    tools={},
    files=[LockedFile(path="own-q4-Q4_K_M.gguf", size=5, sha256="e" * 64)],
    shape=SHAPE,
)


def agency_file(directory: Path, text: str = FILE, recipe: QuantiseLock | None = None) -> Path:
    path = directory / "moh.yaml"
    path.write_text(text)
    recipes = {} if recipe is None else {"own-q4": recipe}
    lock_path(path).write_text(AgencyLock(agency="moh", models={}, quantise=recipes).to_json())
    return path


def problems(path: Path) -> str:
    with pytest.raises(AgencyFileError) as caught:
        locked(load_agency(path), path)
    return str(caught.value)


def test_a_model_has_the_lock_of_the_result_that_it_serves(tmp_path: Path) -> None:
    path = agency_file(tmp_path, recipe=QuantiseLock(source=SOURCE, result=RESULT))
    own = locked(load_agency(path), path)["own"]
    assert own.files == RESULT.files
    assert own.commit == SOURCE.commit
    assert own.source.quantised == "own-q4"
    assert locked_recipes(load_agency(path), path)["own-q4"].source == SOURCE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"quantization": "AWQ-4bit"},
            "quantise[0].source: recipe 'own-q4': the weights are AWQ-4bit already",
        ),
        (
            {"embedding_size": 576, "attention_heads": 9, "head_size": 64},
            "have 576 inputs, expected a multiple of the group size, 128: 32 and 64 would fit",
        ),
        ({"embedding_size": 1024, "attention_heads": 15, "head_size": 80}, "1200 inputs"),
    ],
)
def test_weights_that_the_recipe_can_not_start_from(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    shape = SOURCE.shape.model_copy(update={"embedding_size": 128, "head_size": 32, **change})
    text = ON_GPU.replace("engine: llama.cpp", "engine: vllm")
    path = agency_file(tmp_path, text, QuantiseLock(source=SOURCE.model_copy(update={"shape": shape})))
    assert message in problems(path)


def test_a_result_of_other_groups_or_another_seed_is_not_served(tmp_path: Path) -> None:
    text = ON_GPU.replace("engine: llama.cpp", "engine: vllm").replace(
        "    bits", "    group_size: 32\n    bits"
    )
    recipe = load_agency(agency_file(tmp_path, text)).recipe("own-q4")
    asked = recipe_of(recipe, "1" * 64)
    assert (asked.bits, asked.group_size, asked.seed) == (4, 32, 0)
    for change in ({}, {"group_size": 64}, {"seed": 1}):
        made = RESULT.model_copy(update={"recipe": asked.model_copy(update=change)})
        path = agency_file(tmp_path, text, QuantiseLock(source=SOURCE, result=made))
        if change:
            assert "is not the one that its result was made by" in problems(path)
        else:
            assert locked(load_agency(path), path)["own"].files == RESULT.files


def test_a_lock_without_recipes_has_not_changed_its_form() -> None:
    text = AgencyLock(agency="moh", models={"own": SOURCE}).to_json()
    assert "quantise" not in text
    assert AgencyLock.model_validate_json(text).models == {"own": SOURCE}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (None, "recipe 'own-q4' is not in "),
        (QuantiseLock(source=SOURCE), "the recipe 'own-q4' has no result yet"),
        (
            QuantiseLock(source=SOURCE, result=RESULT.model_copy(update={"source_digest": "f" * 64})),
            "the result of the recipe 'own-q4' was made of other weights",
        ),
        (
            QuantiseLock(
                source=SOURCE,
                result=RESULT.model_copy(update={"recipe": QuantiseRecipe(method="gguf", type="Q8_0")}),
            ),
            "the recipe 'own-q4' is not the one that its result was made by",
        ),
    ],
)
def test_a_result_that_is_not_the_recipes_is_not_served(
    tmp_path: Path, recipe: QuantiseLock | None, message: str
) -> None:
    assert message in problems(agency_file(tmp_path, recipe=recipe))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    type: Q4_K_M\n", "", "quantise[0].method: got 'gguf', expected a `type` beside method: gguf"),
        (
            "    type: Q4_K_M\n",
            "    type: Q4_K_M\n    bits: 4\n",
            "expected the field left out with method: gguf",
        ),
        ("type: Q4_K_M", "type: 4bit", "expected a type of llama-quantize, such as 'Q4_K_M'"),
        ("method: gguf", "method: exl2", "expected a `bits` beside method: exl2"),
        ("method: gguf", "method: awq", "expected one of gguf, exl2, gptq"),
        ("method: gguf", "method: gptq", "expected the field left out with method: gptq, it is of gguf"),
        ("    type: Q4_K_M\n", "    type: Q4_K_M\n    group_size: 64\n", "with method: gguf, it is of gptq"),
        (TYPE, GPTQ, "expected a GPU of capability 8.0 or later with method: gptq: ml.g5, ml.g6"),
        (TYPE, GPTQ.replace("bits: 4", "bits: 3"), "expected 4 with method: gptq"),
        (TYPE, GPTQ.replace("    calibration: words.txt\n", ""), "a `calibration` beside method: gptq"),
        (TYPE, f"{GPTQ}    group_size: 96\n", "expected 32, 64 or 128; did you mean"),
        (TYPE, f"{GPTQ}    seed: -1\n", "seed: got -1, expected"),
        (TYPE, GPTQ, "expected exllamav2 or vllm, which read what method: gptq makes"),
        ("name: own-q4", "name: own", "expected a name of its own"),
        ("quantised: own-q4", "quantised: other", "the name of an entry under `quantise`, not 'other'"),
        ("v1, quantised", "v2, quantised", "expected that of the recipe 'own-q4'; did you mean 'v1'?"),
        ("engine: llama.cpp", "engine: exllamav2", "expected llama.cpp, which reads what method: gguf makes"),
        ("ml.m5.4xlarge", "ml.m5.huge", "an instance type of SageMaker processing"),
        (
            "type: Q4_K_M",
            "type: Q4_K_M\n    evaluation: ../../etc/words.txt",
            "a text file beside the agency file",
        ),
        ("revision: v1}", "revision: v1, quantised: own-q4}", "so no `quantised` in a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(AgencyFileError) as caught:
        load_agency(agency_file(tmp_path, FILE.replace(old, new, 1)))
    assert message in str(caught.value)


def test_recipes_whose_names_only_hyphens_tell_apart_are_refused(tmp_path: Path) -> None:
    recipe = FILE[FILE.index("  - name: own-q4") : FILE.index("models:")]
    text = FILE.replace(recipe, recipe + recipe.replace("own-q4", "own-q-4"))
    with pytest.raises(
        AgencyFileError, match=r"quantise\[1\]\.name: .* in its hyphens .* another recipe, 'own-q4'"
    ):
        load_agency(agency_file(tmp_path, text))
