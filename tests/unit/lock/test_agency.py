"""Whole agency files: what is written, what is kept, and what errors leave alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quant_llm.agency import AgencyLock, QuantiseLock, QuantiseRecipe, QuantiseResult
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.agency import check_agency, lock_agencies
from tests.unit.lock.fakes import CONFIG, FakeHub, FakeRepository, safetensors_file


def quiet(_line: str) -> None:
    return


def write_agency(directory: Path, agency: str, **models: str) -> Path:
    lines = [f"agency: {agency}", 'environment: {account: "123456789012", region: us-east-1}', "models:"]
    for name, hub in models.items():
        lines += [
            f"  - name: {name}",
            f"    source: {{hub: {hub}}}",
            "    engine: vllm",
            "    instance_type: ml.g5.xlarge",
            "    context_length: 512",
            "    concurrency: 1",
        ]
    path = directory / f"{agency}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def repository(columns: int = 100) -> FakeRepository:
    weights = safetensors_file({"a": (64, columns)})
    return FakeRepository({"model.safetensors": weights, "config.json": json.dumps(CONFIG).encode()})


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub({"owner/one": repository(), "owner/two": repository(200)})


def read(path: Path) -> AgencyLock:
    return AgencyLock.read(path.with_suffix(".lock.json"))


def test_lock_is_written_beside_the_file_and_is_the_same_twice(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", b="owner/two", a="owner/one")
    (first,) = lock_agencies([path], None, quiet, hub)
    content = (tmp_path / "moh.lock.json").read_bytes()
    (second,) = lock_agencies([path], None, quiet, hub)
    assert (first.changed, second.changed) == (True, False)
    assert (first.errors, second.errors) == ((), ())
    assert (tmp_path / "moh.lock.json").read_bytes() == content
    assert list(json.loads(content)["models"]) == ["a", "b"]
    assert read(path).agency == "moh"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["moh.lock.json", "moh.yaml"]


def test_lock_gets_the_permissions_of_any_new_file(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one")
    lock_agencies([path], None, quiet, hub)
    assert (tmp_path / "moh.lock.json").stat().st_mode == path.stat().st_mode


def test_error_in_one_model_writes_nothing_for_its_agency_and_all_errors_are_told(
    tmp_path: Path, hub: FakeHub
) -> None:
    bad = write_agency(tmp_path, "bad", a="owner/gone", b="owner/one", c="owner/away")
    good = write_agency(tmp_path, "good", a="owner/one")
    broken = tmp_path / "broken.yaml"
    broken.write_text("agency: broken\n")
    outcomes = lock_agencies([bad, broken, good], None, quiet, hub)
    assert outcomes[0].errors == (
        f"{bad}:5: models[0].source: model 'a': there is no 'owner/gone'",
        f"{bad}:17: models[2].source: model 'c': there is no 'owner/away'",
    )
    assert any("models" in error for error in outcomes[1].errors)
    assert outcomes[2].errors == ()
    assert sorted(entry.name for entry in tmp_path.glob("*.lock.json")) == ["good.lock.json"]


def test_error_leaves_the_old_lock_as_it_was(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one", b="owner/two")
    lock_agencies([path], None, quiet, hub)
    content = (tmp_path / "moh.lock.json").read_bytes()
    hub.repositories["owner/one"] = repository(300)
    del hub.repositories["owner/two"]
    (outcome,) = lock_agencies([path], None, quiet, hub)
    assert outcome.errors
    assert (tmp_path / "moh.lock.json").read_bytes() == content


def test_model_that_left_the_file_leaves_the_lock(tmp_path: Path, hub: FakeHub) -> None:
    lock_agencies([write_agency(tmp_path, "moh", a="owner/one", b="owner/two")], None, quiet, hub)
    path = write_agency(tmp_path, "moh", b="owner/two")
    lock_agencies([path], None, quiet, hub)
    assert list(read(path).models) == ["b"]


def test_one_model_alone_keeps_the_others_and_asks_for_none_of_them(tmp_path: Path, hub: FakeHub) -> None:
    lock_agencies([write_agency(tmp_path, "moh", a="owner/one", b="owner/two")], None, quiet, hub)
    path = write_agency(tmp_path, "moh", a="owner/one", b="owner/two", c="owner/one")
    before = read(path).models
    hub.repositories = {"owner/one": repository(300), "owner/two": repository(400)}
    hub.opened.clear()
    other = write_agency(tmp_path, "other", z="owner/one")
    (outcome,) = lock_agencies([path, other], "a", quiet, hub)
    after = read(path).models
    assert hub.opened == ["owner/one"]
    assert outcome.changed
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
    assert "c" not in after
    assert not (tmp_path / "other.lock.json").exists()


def test_model_that_no_file_has_is_an_error(tmp_path: Path, hub: FakeHub) -> None:
    with pytest.raises(QuantLlmError, match=r"no model is named 'x' in .*moh.yaml"):
        lock_agencies([write_agency(tmp_path, "moh", a="owner/one")], "x", quiet, hub)


def test_damaged_lock_is_written_anew_unless_parts_of_it_are_to_be_kept(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one")
    (tmp_path / "moh.lock.json").write_text("<<<<<<< HEAD")
    (kept,) = lock_agencies([path], "a", quiet, hub)
    assert "moh.lock.json" in kept.errors[0]
    (mended,) = lock_agencies([path], None, quiet, hub)
    assert mended.changed
    assert read(path).models.keys() == {"a"}


def test_lock_that_cannot_be_written_is_an_error(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one")
    (tmp_path / "moh.lock.json").mkdir()
    (outcome,) = lock_agencies([path], None, quiet, hub)
    assert outcome.errors == (f"{tmp_path}/moh.lock.json: can't be written: Is a directory",)


def test_interrupted_write_leaves_the_old_lock_and_no_temporary_file(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one")
    lock_agencies([path], None, quiet, hub)
    content = (tmp_path / "moh.lock.json").read_bytes()
    hub.repositories["owner/one"] = repository(300)

    def interrupt(_source: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lock_agencies([path], None, quiet, hub)
    assert (tmp_path / "moh.lock.json").read_bytes() == content
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["moh.lock.json", "moh.yaml"]


def test_check_passes_on_what_lock_has_written(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one")
    lock_agencies([path], None, quiet, hub)
    assert check_agency(path).errors == ()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            {"a": "owner/two"},
            r"moh.yaml:5: .*'owner/two' here and 'owner/one' in .*run `quantllm lock .*moh.yaml`",
        ),
        ({"a": "owner/one", "b": "owner/two"}, r"moh.yaml:10: .*model 'b' is not in"),
        ({"c": "owner/one"}, "model 'c' is not in"),
    ],
)
def test_check_names_what_is_stale_with_line_and_command(
    tmp_path: Path, hub: FakeHub, models: dict[str, str], message: str
) -> None:
    lock_agencies([write_agency(tmp_path, "moh", a="owner/one")], None, quiet, hub)
    (error, *_) = check_agency(write_agency(tmp_path, "moh", **models)).errors
    assert re.search(message, error), error


def test_check_names_models_that_only_the_lock_has(tmp_path: Path, hub: FakeHub) -> None:
    lock_agencies([write_agency(tmp_path, "moh", a="owner/one", b="owner/two")], None, quiet, hub)
    (error,) = check_agency(write_agency(tmp_path, "moh", a="owner/one")).errors
    assert "moh.lock.json has b too: run `quantllm lock" in error
    assert "moh.yaml:3: models: " in error


def test_check_without_lock_says_what_to_run(tmp_path: Path) -> None:
    (error,) = check_agency(write_agency(tmp_path, "moh", a="owner/one")).errors
    assert "there is no" in error
    assert "run `quantllm lock" in error


def test_a_recipe_is_locked_as_its_source_and_keeps_its_result(tmp_path: Path, hub: FakeHub) -> None:
    path = write_agency(tmp_path, "moh", a="owner/one")
    recipe = """quantise:
  - {name: own, source: {hub: owner/two}, method: exl2, bits: 4.0, instance_type: ml.g5.xlarge}
"""
    path.write_text(path.read_text() + recipe)
    (outcome,) = lock_agencies([path], None, quiet, hub)
    assert set(outcome.after) == {"a", "own"}
    lock = read(path)
    assert list(lock.models) == ["a"]
    source = lock.quantise["own"].source
    result = QuantiseResult(
        prefix="quantised/own/job/files/",
        source_digest=source.digest,
        recipe=QuantiseRecipe(method="exl2", bits=4.0),
        tools={},
        files=source.files,
        shape=source.shape,
    )
    made = {"own": QuantiseLock(source=source, result=result)}
    path.with_suffix(".lock.json").write_text(lock.model_copy(update={"quantise": made}).to_json())
    hub.opened.clear()
    lock_agencies([path], "a", quiet, hub)
    assert read(path).quantise == made
    assert hub.opened == ["owner/one"]
    lock_agencies([path], "own", quiet, hub)
    assert read(path).quantise == made
    assert check_agency(path).errors == ()
    path.write_text(path.read_text().replace(recipe, ""))
    (error,) = check_agency(path).errors
    assert "has own too" in error
