"""`quantllm agencies check` and `schema`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from quant_llm.agency import read_agency
from quant_llm_tools.cli import main

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agencies"


@pytest.fixture
def agencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the three examples in agencies/."""
    shutil.copytree(FIXTURES, tmp_path / "agencies", ignore=shutil.ignore_patterns("*.json"))
    monkeypatch.chdir(tmp_path)
    return Path("agencies")


def test_all_files_are_checked_without_arguments(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = agencies / "justice.yaml"
    path.write_text(path.read_text().replace("engine: llama.cpp", "engine: lama.cpp"))
    (problem,) = read_agency(path).problems
    assert main(["agencies", "check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "agencies/default.yaml: ok",
        "agencies/health.yaml: ok",
        "agencies/health.yaml:16: models[0].instance_type: auto is chosen once `quantllm lock` has been run",
        "agencies/justice.yaml: 1 error",
        str(problem),
        "3 files: 1 error in 1",
    ]


def test_with_a_lock_the_choice_of_auto_is_told(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FIXTURES / "health.lock.json", agencies)
    main(["agencies", "check", "agencies/health.yaml"])
    line = capsys.readouterr().out.splitlines()[-2]
    assert line.startswith(
        "agencies/health.yaml:16: models[0].instance_type: auto is ml.g4dn.xlarge at about $1.03/h "
        "(estimate) (weights 4.1 + KV cache 8.0 + "
    )
    assert ", then ml.g4dn.2xlarge at about $1.31/h (estimate), then ml.g4dn.4xlarge at " in line
    _, document = check_json(capsys, "agencies/health.yaml")
    (chosen,) = document["files"][0]["chosen"]
    assert (chosen["line"], chosen["field"]) == (16, "models[0].instance_type")


def test_with_a_lock_it_is_checked_whether_a_model_fits(
    agencies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = agencies / "justice.yaml"
    path.write_text(path.read_text().replace("concurrency: 4", "concurrency: 64"))
    assert main(["agencies", "check", "agencies/justice.yaml"]) == 0
    shutil.copy(FIXTURES / "justice.lock.json", agencies)
    capsys.readouterr()
    assert main(["agencies", "check", "agencies/justice.yaml"]) == 1
    assert (
        "models[0].instance_type: got 'ml.g4dn.xlarge', expected more GPU memory" in capsys.readouterr().out
    )


def test_a_stale_lock_is_as_none(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FIXTURES / "justice.lock.json", agencies)
    path = agencies / "justice.yaml"
    changed = path.read_text().replace("concurrency: 4", "concurrency: 64").replace("Q4_K_M", "Q8_0")
    path.write_text(changed)
    assert main(["agencies", "check", "agencies/justice.yaml"]) == 0


def test_a_lock_that_cannot_be_read_is_told(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (agencies / "default.lock.json").write_text("{")
    assert main(["agencies", "check", "agencies/default.yaml"]) == 1
    assert "agencies/default.lock.json: (the whole file): " in capsys.readouterr().out


def test_good_files_are_well_without_a_lock(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agencies", "check", "agencies/default.yaml", "agencies/justice.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 files: 0 errors"


def check_json(capsys: pytest.CaptureFixture[str], *paths: str) -> tuple[int, dict[str, Any]]:
    code = main(["agencies", "check", "--json", *paths])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_json_has_each_file_and_each_problem(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = agencies / "default.yaml"
    path.write_text(path.read_text().replace("engine: llama.cpp", "engine: lama.cpp"))
    code, document = check_json(capsys, "agencies/default.yaml", "agencies/justice.yaml")
    assert code == 1
    assert document == {
        "files": [
            {
                "file": "agencies/default.yaml",
                "ok": False,
                "problems": [
                    {
                        "line": 10,
                        "column": 13,
                        "field": "models[0].engine",
                        "message": "got 'lama.cpp', expected one of llama.cpp, exllamav2, vllm, tgi; "
                        "did you mean 'llama.cpp'?",
                        "got": "'lama.cpp'",
                        "expected": "one of llama.cpp, exllamav2, vllm, tgi",
                        "nearest": "llama.cpp",
                    }
                ],
                "chosen": [],
            },
            {"file": "agencies/justice.yaml", "ok": True, "problems": [], "chosen": []},
        ],
        "ok": False,
    }


def test_a_folder_stands_for_its_files(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, document = check_json(capsys, "agencies", "agencies/default.yaml")
    assert [file["file"] for file in document["files"]] == [
        "agencies/default.yaml",
        "agencies/health.yaml",
        "agencies/justice.yaml",
    ]


def test_files_are_checked_against_each_other(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (agencies / "copies").mkdir()
    shutil.copy(agencies / "default.yaml", agencies / "copies" / "default.yaml")
    code, document = check_json(capsys, "agencies/default.yaml", "agencies/copies/default.yaml")
    assert code == 1
    assert [file["ok"] for file in document["files"]] == [True, False]
    assert [problem["field"] for problem in document["files"][1]["problems"]] == ["agency", "models[0].name"]


def test_a_missing_file_is_an_error_of_that_file(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agencies", "check", "agencies/none.yaml", "agencies/default.yaml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "agencies/none.yaml: 1 error",
        "agencies/none.yaml: can't be read: No such file or directory",
        "agencies/default.yaml: ok",
        "2 files: 1 error in 1",
    ]


def test_nothing_to_check_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["agencies", "check"]) == 1
    assert capsys.readouterr().err == "agencies: no agency files here, expected <agency>.yaml\n"
    assert main(["agencies", "check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "error": "agencies: no agency files here, expected <agency>.yaml"
    }


def test_schema_prints_the_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agencies", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["required"]) == {"agency", "environment", "models"}
