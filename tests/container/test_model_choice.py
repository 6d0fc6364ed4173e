"""Which model is served, and the exit code 3 where that can't be told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.container.conftest import Run
from tests.container.gguf_files import write_gguf
from tests.container.process import ProcessContainer

# The contract says one second; the rest is for a busy machine.
SECONDS = 5.0


def refusal(container: ProcessContainer) -> str:
    assert container.wait_for_exit(SECONDS) == 3, container.log
    return str(container.entries[-1]["message"])


def served(container: ProcessContainer) -> str:
    container.until_healthy()
    _, answer = container.request("GET", "/v1/models")
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


@pytest.mark.parametrize("name", ["SERVING_LORA", "LLAMA_ARG_SPEC_DRAFT_MODEL", "LLAMA_ARG_MMPROJ"])
def test_a_file_beside_the_model_is_looked_at_as_well(start: Run, model: Path, name: str) -> None:
    variables = {"MODEL": "m.gguf", "LLAMA_ARG_SPEC_TYPE": "draft-simple", name: "other.gguf"}
    message = refusal(start(**variables))
    assert message == f"{name} 'other.gguf' is no file in {model.parent}, found m.gguf (0.0 MB)"
    (model.parent / "other.gguf").write_bytes(model.read_bytes()[:-40])
    assert f"{model.parent / 'other.gguf'} is truncated" in refusal(start(**variables))


def test_files_beside_the_model_are_named_relative_to_it(start: Run, model: Path) -> None:
    adapters = [write_gguf(model.parent / "adapters" / name) for name in ("a.gguf", "b.gguf")]
    container = start(
        MODEL="m.gguf",
        SERVING_LORA="adapters/a.gguf, /opt/ml/model/adapters/b.gguf",
        LLAMA_ARG_SPEC_DRAFT_MODEL="adapters/a.gguf",
        LLAMA_ARG_SPEC_TYPE="draft-simple",
    )
    container.until_healthy()
    _, answer = container.request("GET", "/v1/models")
    arguments = answer["arguments"]
    assert arguments[arguments.index("--lora") + 1] == ",".join(map(str, adapters))
    assert answer["options"]["LLAMA_ARG_SPEC_DRAFT_MODEL"] == str(adapters[0])


def test_a_request_names_its_adapter(start: Run, model: Path) -> None:
    for name in ("law", "tax"):
        write_gguf(model.parent / "adapters" / f"{name}.gguf")
    container = start(MODEL="m.gguf", SERVING_LORA="law=adapters/law.gguf,tax=adapters/tax.gguf")
    container.until_healthy()
    _, answer = container.request("GET", "/v1/models")
    assert [(entry["id"], entry["parent"]) for entry in answer["data"]] == [("law", "m"), ("tax", "m")]
    assert answer["options"]["LLAMA_ARG_CACHE_RAM"] == "0"
    for count in (1, 2):  # the answer to two is not put together from a stream
        _, answer = container.invoke({"prompt": "x", "max_tokens": 1, "n": count, "model": "tax"})
        assert answer["received"]["lora"] == [{"id": 0, "scale": 0}, {"id": 1, "scale": 1}]
    _, answer = container.invoke({"prompt": "x", "max_tokens": 1, "stream": True, "model": "law"})
    assert '"lora": [{"id": 0, "scale": 1.0}, {"id": 1, "scale": 0.0}]' in str(answer)
    status, answer = container.invoke({"prompt": "x", "model": "laws"})
    assert status == 404
    assert answer["error"]["message"].endswith("expected one of m, law, tax")
    assert answer["error"]["param"] == "model"


def test_a_model_with_a_large_vocabulary_is_refused_within_a_second(start: Run, model: Path) -> None:
    write_gguf(model, tokens=256_000)
    model.write_bytes(model.read_bytes()[:-40])
    container = start()
    started = time.monotonic()
    assert "is truncated" in refusal(container)
    assert time.monotonic() - started < SECONDS


def test_a_file_that_may_not_be_read_is_refused(start: Run, model_directory: Path) -> None:
    (model_directory / "m.gguf").symlink_to("/proc/self/mem")  # which not even root can read from its start
    assert "m.gguf can't be read: Input/output error" in refusal(start())


def test_a_file_that_is_no_gguf(start: Run, model: Path) -> None:
    model.write_bytes(b"<!DOCTYPE html>")
    assert refusal(start()) == f"{model} is not a GGUF file: it starts with b'<!DO', expected b'GGUF'"
