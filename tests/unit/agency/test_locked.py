"""Locks that are missing or stale stop a stack with the command to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import (
    AgencyFileError,
    AgencyLock,
    LockedFile,
    LockedSource,
    ModelLock,
    ModelShape,
    load_agency,
    lock_path,
    locked,
    locked_source,
)
from quant_llm.errors import QuantLlmError
from tests.unit.agency.conftest import GOOD

RUN = "run `quantllm lock agencies/moh.yaml` and commit the lock"
SHAPE = ModelShape(
    format="gguf",
    architecture="llama",
    quantization="Q4_K_M",
    parameters=1_000,
    bits_per_weight=4.5,
    layers=2,
    attention_heads=4,
    key_value_heads=2,
    head_size=8,
    embedding_size=32,
    vocabulary_size=100,
    context_length=4096,
)


def model_lock(source: LockedSource, *, commit: str = "a" * 40, sha256: str = "b" * 64) -> ModelLock:
    return ModelLock(
        source=source,
        commit=commit,
        files=[LockedFile(path="some-Q4_K_M.gguf", size=10, sha256=sha256)],
        shape=SHAPE,
    )


def write_lock(path: Path, **models: ModelLock) -> AgencyLock:
    lock = AgencyLock(agency="moh", models=models)
    lock_path(path).write_text(lock.to_json())
    return lock


def refusal(path: Path) -> str:
    agency = load_agency(path)
    with pytest.raises(QuantLlmError) as caught:
        locked(agency, path)
    return str(caught.value)


def test_the_lock_lies_beside_the_file() -> None:
    assert lock_path(Path("agencies/moh.yaml")) == Path("agencies/moh.lock.json")


def test_the_lock_of_what_the_file_says_is_given_by_model(good: Path) -> None:
    agency = load_agency(good)
    lock = write_lock(good, chat=model_lock(locked_source(agency.models[0].source)))
    assert locked(agency, good) == lock.models


def test_no_lock_file(good: Path) -> None:
    assert refusal(good) == f"agencies/moh.yaml:11: models: there is no agencies/moh.lock.json: {RUN}"


def test_a_model_that_is_not_in_the_lock(good: Path) -> None:
    write_lock(good)
    assert refusal(good) == (
        f"agencies/moh.yaml:12: models[0].name: model 'chat' is not in agencies/moh.lock.json: {RUN}"
    )


def test_the_command_to_run_can_be_pasted_where_a_folder_has_a_space(write: Callable[..., Path]) -> None:
    path = write(GOOD, "our agencies/moh.yaml")
    assert "run `quantllm lock 'our agencies/moh.yaml'` and" in refusal(path)


def test_a_model_that_has_changed_since_names_each_difference(
    good: Path, change: Callable[[str, str], Path]
) -> None:
    write_lock(good, chat=model_lock(locked_source(load_agency(good).models[0].source)))
    change("revision: main", "revision: v2")
    change('["*Q4_K_M.gguf"]', '["*Q8_0.gguf"]')
    assert refusal(good).splitlines() == [
        "agencies/moh.yaml:15: models[0].source.revision: model 'chat' has 'v2' here and 'main' in "
        f"agencies/moh.lock.json: {RUN}",
        "agencies/moh.yaml:16: models[0].source.files: model 'chat' has ['*Q8_0.gguf'] here and "
        f"['*Q4_K_M.gguf'] in agencies/moh.lock.json: {RUN}",
    ]


def test_another_secret_for_the_token_leaves_the_lock_good(
    good: Path, change: Callable[[str, str], Path]
) -> None:
    write_lock(good, chat=model_lock(locked_source(load_agency(good).models[0].source)))
    change("token_secret: hf-token", "token_secret: other")
    assert set(locked(load_agency(good), good)) == {"chat"}


def test_the_lock_of_another_agency(good: Path) -> None:
    lock_path(good).write_text(AgencyLock(agency="moe", models={}).to_json())
    assert refusal(good) == (
        f"agencies/moh.yaml:1: agency: agencies/moh.lock.json is the lock of 'moe', not of 'moh': {RUN}"
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "(the whole file)"),
        ('{"version": 2, "agency": "moh", "models": {}}', "version"),
        ('{"version": 1, "agency": "moh", "models": {"chat": {}}}', "models.chat.source"),
    ],
)
def test_a_lock_file_that_cannot_be_read_names_the_field(good: Path, text: str, field: str) -> None:
    lock_path(good).write_text(text)
    message = refusal(good)
    assert message.startswith(f"agencies/moh.lock.json: {field}: ")
    assert message.endswith("`quantllm lock` writes the file, nobody else: run it again")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '"path": "some-Q4',
            '"path": "../some-Q4',
            "file path '../some-Q4_K_M.gguf' has a segment '.' or '..'",
        ),
        (
            '"files": [\n        {',
            f'"files": [\n        {{"path": "some-Q4_K_M.gguf", "size": 9, "sha256": "{"c" * 64}"}}, {{',
            "file path 'some-Q4_K_M.gguf' is given twice",
        ),
        ('"size": 10', '"size": 0', "'some-Q4_K_M.gguf': sha256 of an empty file must be e3b0c442"),
        ('Q4_K_M.gguf",', 'Q4_K_M.bin",', "none of them is a .gguf file"),
    ],
)
def test_a_lock_whose_files_are_no_artifact_is_refused(good: Path, old: str, new: str, problem: str) -> None:
    write_lock(good, chat=model_lock(locked_source(load_agency(good).models[0].source)))
    text = lock_path(good).read_text()
    assert old in text
    lock_path(good).write_text(text.replace(old, new))
    message = refusal(good)
    assert message.startswith(f"agencies/moh.lock.json: models.chat.files: {problem}")
    assert message.endswith("`quantllm lock` writes the file, nobody else: run it again")


def test_a_lock_reads_back_as_it_was_and_is_written_sorted() -> None:
    source = LockedSource(hub="owner/name", revision="main", files=["*"])
    lock = AgencyLock(agency="moh", models={"b": model_lock(source), "a": model_lock(source)})
    assert AgencyLock.model_validate_json(lock.to_json()) == lock
    assert lock.to_json().index('"a": {') < lock.to_json().index('"b": {')


def test_the_digest_changes_with_the_weights_and_not_with_the_commit() -> None:
    source = LockedSource(hub="owner/name", revision="main", files=["*"])
    digest = model_lock(source).digest
    assert model_lock(source, commit="c" * 40).digest == digest
    assert model_lock(source, sha256="d" * 64).digest != digest


def test_problems_of_a_lock_are_an_agency_file_error(good: Path) -> None:
    with pytest.raises(AgencyFileError):
        locked(load_agency(good), good)
