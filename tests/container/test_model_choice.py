"""Which model is served, and the exit code 3 where that can't be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.conftest import Run
from tests.container.container import Container
from tests.container.gguf_files import write_gguf

# The contract says one second; the rest is for a busy machine.
SECONDS = 5.0


def refusal(container: Container) -> str:
    assert container.wait_for_exit(SECONDS) == 3, container.log
    return str(container.entries[-1]["message"])


def served(container: Container) -> str:
    _, answer = container.until_healthy().request("GET", "/v1/models")
    arguments = answer["arguments"]
    return Path(arguments[arguments.index("--model") + 1]).name


def test_a_missing_model_directory(start: Run, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    message = refusal(start(SM_MODEL_DIR=str(missing)))
    assert message == f"the model directory {missing} does not exist"


def test_no_model_lists_the_files_that_are_there(start: Run, model_directory: Path) -> None:
    (model_directory / "config.json").write_text("{}")
    assert "found config.json (0.0 MB)" in refusal(start())


def test_two_models_and_none_chosen_lists_both(start: Run, model_directory: Path) -> None:
    write_gguf(model_directory / "a.gguf")
    write_gguf(model_directory / "deeper" / "b.gguf")
    message = refusal(start())
    found = "found a.gguf (0.0 MB), deeper/b.gguf (0.0 MB)"
    assert message == f"2 models in {model_directory}, expected one (MODEL can name it), {found}"


@pytest.mark.parametrize(
    "selector", ["b.gguf", "b*", "/opt/ml/model/b.gguf", "/opt/ml/model/*b.gguf", "**/b.gguf"]
)
def test_model_chooses_one_of_two(start: Run, model_directory: Path, selector: str) -> None:
    write_gguf(model_directory / "a.gguf")
    write_gguf(model_directory / "b.gguf")
    assert served(start(MODEL=selector)) == "b.gguf"


def test_a_glob_that_matches_two(start: Run, model_directory: Path) -> None:
    write_gguf(model_directory / "a-1.gguf")
    write_gguf(model_directory / "a-2.gguf")
    message = refusal(start(MODEL="a-*.gguf"))
    assert message.startswith(f"MODEL 'a-*.gguf' matches 2 models in {model_directory}, expected one")
    assert "found a-1.gguf (0.0 MB), a-2.gguf (0.0 MB)" in message


def test_a_model_that_is_not_there_lists_what_is(start: Run, model: Path) -> None:
    message = refusal(start(MODEL="other.gguf"))
    assert message == f"MODEL 'other.gguf' matches no GGUF file in {model.parent}, found m.gguf (0.0 MB)"


def test_the_first_of_a_set_of_shards_is_served(start: Run, model_directory: Path) -> None:
    for number in (1, 2, 3):
        write_gguf(model_directory / f"big-{number:05d}-of-00003.gguf")
    assert served(start()) == "big-00001-of-00003.gguf"


def test_a_missing_shard_is_named(start: Run, model_directory: Path) -> None:
    for number in (1, 3):
        write_gguf(model_directory / f"big-{number:05d}-of-00003.gguf")
    assert "missing big-00002-of-00003.gguf" in refusal(start())


def test_a_truncated_model(start: Run, model: Path) -> None:
    content = model.read_bytes()
    model.write_bytes(content[:-40])
    assert f"{model} is truncated: it has {len(content) - 40} bytes" in refusal(start())


def test_a_file_that_is_no_gguf(start: Run, model: Path) -> None:
    model.write_bytes(b"<!DOCTYPE html>")
    assert refusal(start()) == f"{model} is not a GGUF file: it starts with b'<!DO', expected b'GGUF'"
