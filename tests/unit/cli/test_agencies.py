"""`quantllm agencies check` and `schema`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools.cli import main

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agencies"


@pytest.fixture
def agencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the three examples in agencies/."""
    shutil.copytree(FIXTURES, tmp_path / "agencies", ignore=shutil.ignore_patterns("*.json"))
    monkeypatch.chdir(tmp_path)
    return Path("agencies")


def test_all_files_are_checked_without_arguments(agencies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agencies", "check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "agencies/default.yaml: ok",
        "agencies/health.yaml: 8 errors",
        "agencies/health.yaml:10: budget: not supported yet: leave it out",
    ]
    assert lines[-2:] == ["agencies/justice.yaml: ok", "3 files: 8 errors in 1"]
    assert len(lines) == 12


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
                        "message": "got 'lama.cpp', expected one of llama.cpp, exllamav2, vllm; "
                        "did you mean 'llama.cpp'?",
                        "got": "'lama.cpp'",
                        "expected": "one of llama.cpp, exllamav2, vllm",
                        "nearest": "llama.cpp",
                    }
                ],
            },
            {"file": "agencies/justice.yaml", "ok": True, "problems": []},
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
