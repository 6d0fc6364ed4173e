"""`quantllm agencies`: check agency files and print their JSON Schema, offline and without credentials."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_llm.errors import QuantLlmError

if TYPE_CHECKING:
    from quant_llm.agency import Problem

DEFAULT_DIRECTORY = Path("agencies")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `agencies check` and `agencies schema`."""
    parser = subparsers.add_parser("agencies", help="check agency files, print their JSON Schema")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="check agency files, without network and lock",
        description="Checks agency files, each alone and all against each other. Exit code 1 on any error.",
    )
    check.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="agency file, or folder of them; default: all of ./agencies",
    )
    check.add_argument("--json", action="store_true", help="print one JSON document")
    check.set_defaults(run=_check)
    schema = actions.add_parser("schema", help="print the JSON Schema of agency files, for editors")
    schema.set_defaults(run=_schema)


def _check(arguments: argparse.Namespace) -> int:
    paths = agency_files(arguments.paths)
    problems = _problems(paths)
    if arguments.json:
        print(json.dumps(_document(problems), indent=2, ensure_ascii=False))
    else:
        print(_text(problems))
    return 1 if any(problems.values()) else 0


def agency_files(paths: Sequence[Path]) -> list[Path]:
    """The agency files that arguments name, or that are in the folders they name; by default ./agencies."""
    from quant_llm.agency import find_agency_files

    files: dict[Path, None] = {}
    for path in paths or [DEFAULT_DIRECTORY]:
        found = find_agency_files(path) if path.is_dir() or path == DEFAULT_DIRECTORY else [path]
        if not found:
            raise QuantLlmError(f"{path}: no agency files here, expected <agency>.yaml")
        files.update(dict.fromkeys(found))
    return list(files)


def _problems(paths: Sequence[Path]) -> dict[str, list[Problem]]:
    """The problems of each file by its name; those between files are with the later one."""
    from quant_llm.agency import check_together, display_name, read_agency

    files = [read_agency(path) for path in paths]
    problems = {display_name(file.path): [*file.problems, *file.not_supported] for file in files}
    for problem in check_together(file.config for file in files if file.config):
        problems[problem.file].append(problem)
    return {
        file: sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0))
        for file, found in problems.items()
    }


def _document(problems: dict[str, list[Problem]]) -> dict[str, Any]:
    files = []
    for file, found in problems.items():
        listed = [
            {key: value for key, value in dataclasses.asdict(one).items() if key != "file"} for one in found
        ]
        files.append({"file": file, "ok": not found, "problems": listed})
    return {"files": files, "ok": not any(problems.values())}


def _text(problems: dict[str, list[Problem]]) -> str:
    lines: list[str] = []
    for file, found in problems.items():
        lines.append(f"{file}: {_count(len(found), 'error') if found else 'ok'}")
        lines += [str(problem) for problem in found]
    total = sum(len(found) for found in problems.values())
    wrong = sum(bool(found) for found in problems.values())
    lines.append(
        f"{_count(len(problems), 'file')}: {_count(total, 'error')}" + (f" in {wrong}" if wrong else "")
    )
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _schema(_arguments: argparse.Namespace) -> int:
    from quant_llm.agency import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
