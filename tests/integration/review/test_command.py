"""`quantllm review` from its arguments to its exit code, over sides that are synthesised already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.review import reviewing
from quant_llm_tools.review.sides import Side

STACK = "QuantLlmStack"


def bucket(name: str) -> dict[str, Any]:
    metadata = {"aws:cdk:path": f"{STACK}/{name}/Resource"}
    return {"Type": "AWS::S3::Bucket", "Properties": {}, "Metadata": metadata}


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Side]:
    """Base and head, to be changed by tests: head loses a bucket."""
    found = []
    for name, kept in (("base", ("Models", "Old")), ("head", ("Models",))):
        directory = tmp_path / name
        shutil.copytree(ROOT / "agencies", directory / "agencies")
        template = {"Resources": {f"{one}0": bucket(one) for one in kept}}
        found.append(Side(name=name, templates={STACK: template}, directory=directory))

    @contextmanager
    def synthesised(
        _repository: Path, _base: str, _head: str | None, *, progress: Callable[[str], None]
    ) -> Iterator[tuple[Side, Side]]:
        progress("synthesising both")
        yield found[0], found[1]

    monkeypatch.setattr(reviewing, "synthesised", synthesised)
    monkeypatch.chdir(tmp_path)
    return found


def review(*arguments: str) -> int:
    return main(["review", "--base", "main", *arguments])


def test_the_review_is_on_stdout_and_progress_is_not(
    sides: list[Side], capsys: pytest.CaptureFixture[str]
) -> None:
    assert review("--format", "json") == 0
    shown = capsys.readouterr()
    assert shown.err == "synthesising both\n"
    document = json.loads(shown.out)
    assert [one["class"] for one in document["changes"]] == ["stateful-removed"]
    assert document["cost"]["default"]["before"] == document["cost"]["default"]["after"]
    assert document["fit"]["default-smollm2-135m"]["after"]["needed_mib"] > 0


def test_a_named_class_fails_until_it_is_approved_in_head(
    sides: list[Side], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "review.md"
    arguments = ("--fail-on", "stateful-removed", "--format", "markdown", "--output", str(output))
    assert review(*arguments) == 3
    assert "**The check fails: 1 change needs an approval, marked ✋.**" in output.read_text()

    assert sides[1].directory is not None
    approvals = sides[1].directory / ".quantllm-review.yaml"
    approvals.write_text(
        "approvals:\n"
        "  - class: stateful-removed\n"
        f"    paths: [{STACK}/Old/Resource]\n"
        "    reason: it was empty, and nobody reads it\n"
    )
    capsys.readouterr()
    assert review(*arguments) == 0
    text = output.read_text()
    assert "Approved: it was empty, and nobody reads it (`.quantllm-review.yaml:2`" in text
    assert "**new in this change**" in text

    assert sides[0].directory is not None
    shutil.copy(approvals, sides[0].directory)
    assert review(*arguments) == 0
    assert "new in this change" not in output.read_text()

    approvals.write_text(approvals.read_text().replace("Old/", "Other/"))
    capsys.readouterr()
    assert review(*arguments) == 3
    assert "this approval names no change of this review" in capsys.readouterr().err


def test_a_wrong_approvals_file_is_an_error_with_its_line(
    sides: list[Side], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sides[1].directory is not None
    (sides[1].directory / ".quantllm-review.yaml").write_text("approvals:\n  - class: harmless\n")
    assert review() == 1
    assert ".quantllm-review.yaml:2: approvals[0].class: got 'harmless'" in capsys.readouterr().err
    # In base it hinders nobody: head mends it.
    shutil.move(sides[1].directory / ".quantllm-review.yaml", sides[0].directory or "")
    assert review() == 0


def test_a_head_that_does_not_synthesise_is_the_headline_and_never_passes(
    sides: list[Side], capsys: pytest.CaptureFixture[str]
) -> None:
    sides[1] = replace(sides[1], templates={}, refusal="agencies/default.yaml:9: models[0].engine: wrong")
    assert review("--format", "markdown") == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "## ⛔ Refused: nothing of this can be deployed"
    assert lines[3] == "- `agencies/default.yaml:9`: `models[0].engine`: wrong"


def test_a_base_that_does_not_synthesise_is_noted(
    sides: list[Side], capsys: pytest.CaptureFixture[str]
) -> None:
    sides[0] = replace(sides[0], templates={}, refusal="agencies/default.yaml:9: wrong\nmore")
    assert review("--format", "json") == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.endswith("so there is nothing to compare with: agencies/default.yaml:9: wrong")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "everything"], "--fail-on: got 'everything', expected one of"),
        (["--output", "no/such/folder.json"], "--output: no/such/folder.json can't be written"),
    ],
)
def test_mistakes_are_told(
    sides: list[Side], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert review(*arguments) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--deployed"], "not allowed with argument --base"), (["--format", "html"], "invalid choice")],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        review(*arguments)
    assert message in capsys.readouterr().err
