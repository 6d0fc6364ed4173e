"""The golden cases: what is edited, and what a review of it must say.

A case is a file in `cases/`. Most edit an agency's file or its lock; all of these are agencies of one
repository and are reviewed together. Those that edit code, or that no app would synthesise, have a commit
each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from quant_llm.paths import ROOT
from quant_llm_tools.review.checkout import checked_out
from quant_llm_tools.review.compare import compare
from quant_llm_tools.review.model import Change
from quant_llm_tools.review.sides import Side, synthesise_checkouts, synthesised

CASES = Path(__file__).with_name("cases")
FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
_APP = (
    "app.py",
    "cdk.json",
    "pyproject.toml",
    "requirements.txt",
    "stacks",
    "constructs",
    "container",
    "lambdas",
)


@dataclass(frozen=True)
class Case:
    """One pair of commits, as edits of a fixture.

    `expected` are the classes, each with texts that its summaries must have. `prepare` are edits of both
    sides, `edits` those of head. `only` is the side that has the agency at all. `alone`: it has a commit
    of its own.
    """

    name: str
    agency: str
    expected: Mapping[str, list[str]]
    edits: list[Mapping[str, str]]
    prepare: list[Mapping[str, str]]
    only: str | None
    alone: bool

    @property
    def stack(self) -> str:
        return "QuantLlmStack" if self.alone else f"QuantLlmStack-{self.name}"


def cases() -> list[Case]:
    """All of them, by name."""
    return [_read(path) for path in sorted(CASES.glob("*.yaml"))]


def reviewed(directory: Path) -> dict[str, tuple[Change, ...]]:
    """The changes of each case, by its name; `directory` is empty and has room for a repository."""
    repository = directory / "repository"
    make_repository(repository)
    together = [case for case in cases() if not case.alone]
    alone = [case for case in cases() if case.alone]
    found = _reviewed_alone(repository, alone, directory)
    found.update(_reviewed_together(repository, together))
    return found


def _reviewed_together(repository: Path, together: list[Case]) -> dict[str, tuple[Change, ...]]:
    agencies = repository / "agencies"
    shutil.rmtree(agencies)
    agencies.mkdir()
    for case in together:
        if case.only != "head":
            write_agency(case, agencies, case.prepare)
    commit(repository, "before")
    for case in together:
        _remove_agency(case, agencies)
        if case.only != "base":
            write_agency(case, agencies, [*case.prepare, *case.edits])
    with synthesised(repository, "HEAD") as (base, head):
        assert base.refusal is None, base.refusal
        assert head.refusal is None, head.refusal
        changes = compare(base, head)
    return {case.name: tuple(one for one in changes if case.stack in one.stacks) for case in together}


def _reviewed_alone(repository: Path, alone: list[Case], scratch: Path) -> dict[str, tuple[Change, ...]]:
    base = commit(repository, "base")
    commits = {}
    for case in alone:
        for edit in case.edits:
            for path in _files_of(repository, edit):
                path.write_text(_edited(path.read_text(), edit, str(path)))
        commits[case.name] = commit(repository, case.name)
        _git(repository, "reset", "--quiet", "--hard", base)
    with ExitStack() as stack:
        checkouts = {
            name: stack.enter_context(checked_out(repository, commit, scratch / name))
            for name, commit in {"base": base, **commits}.items()
        }
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            sides = dict(
                zip(checkouts, pool.map(_side, checkouts.items(), [scratch] * len(checkouts)), strict=True)
            )
        assert sides["base"].refusal is None, sides["base"].refusal
        return {case.name: compare(sides["base"], sides[case.name]) for case in alone}


def _side(checkout: tuple[str, Path], scratch: Path) -> Side:
    name, path = checkout
    output = scratch / f"{name}-output"
    output.mkdir()
    return synthesise_checkouts([(name, path)], output)[0]


def _read(path: Path) -> Case:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text())
    edits = data.get("edits", [])
    return Case(
        name=path.stem,
        agency=data.get("agency", "default"),
        expected={
            name: [texts] if isinstance(texts, str) else texts or []
            for name, texts in data["expected"].items()
        },
        edits=edits,
        prepare=data.get("prepare", []),
        only=data.get("only"),
        alone=any(edit.get("in", "agency") not in ("agency", "lock") for edit in edits),
    )


def make_repository(repository: Path) -> None:
    """The app with the example agency, in a repository without a commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *_APP],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, repository / name)
    shutil.copytree(FIXTURES, repository / "agencies", ignore=shutil.ignore_patterns("health.*", "justice.*"))
    _git(repository, "init", "--quiet", "--initial-branch=main")


def commit(repository: Path, message: str) -> str:
    """Commit everything and return the commit."""
    _git(repository, "add", "--all")
    _git(
        repository,
        "-c",
        "user.name=golden",
        "-c",
        "user.email=golden@example.com",
        "commit",
        "--quiet",
        "-m",
        message,
    )
    return _git(repository, "rev-parse", "HEAD")


def _git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.strip()


def write_agency(case: Case, agencies: Path, edits: list[Mapping[str, str]]) -> None:
    """The case's agency file and its lock, edited."""
    texts = {
        "agency": _agency_text(case),
        "lock": json.dumps(
            json.loads((FIXTURES / f"{case.agency}.lock.json").read_text()) | {"agency": case.name},
            indent=2,
            sort_keys=True,
        ),
    }
    for edit in edits:
        name = edit.get("in", "agency")
        texts[name] = _edited(texts[name], edit, f"{case.name}: {name}")
    (agencies / f"{case.name}.yaml").write_text(texts["agency"])
    (agencies / f"{case.name}.lock.json").write_text(texts["lock"])


def _agency_text(case: Case) -> str:
    """The fixture under the case's name; of the one that says everything, its first model."""
    text = (
        (FIXTURES / f"{case.agency}.yaml")
        .read_text()
        .replace(f"agency: {case.agency}", f"agency: {case.name}", 1)
    )
    return text.partition("  - name: codellama-34b")[0]


def _remove_agency(case: Case, agencies: Path) -> None:
    for path in agencies.glob(f"{case.name}.*"):
        path.unlink()


def _files_of(repository: Path, edit: Mapping[str, str]) -> list[Path]:
    """The file to edit; of a folder, those that have the text: code moves between files."""
    path = repository / edit["in"]
    if not path.is_dir():
        return [path]
    found = [one for one in path.rglob("*.py") if edit["replace"] in one.read_text()]
    assert found, f"nothing in {path} has {edit['replace']!r}"
    return found


def _edited(text: str, edit: Mapping[str, str], where: str) -> str:
    if "append" in edit:
        return text + edit["append"]
    assert edit["replace"] in text, f"{where} has no {edit['replace']!r}"
    return text.replace(edit["replace"], edit["with"])
