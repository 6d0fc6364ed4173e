"""`quantllm agencies`: check agency files and print their JSON Schema, offline and without credentials."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_llm.errors import QuantLlmError

if TYPE_CHECKING:
    from quant_llm.agency import AgencyConfig, Problem

DEFAULT_DIRECTORY = Path("agencies")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `agencies check` and `agencies schema`."""
    parser = subparsers.add_parser("agencies", help="check agency files, print their JSON Schema")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="check agency files, without network",
        description="Checks agency files, each alone and all against each other, and whether each model fits "
        "its instances, of models that are locked. Exit code 1 on any error.",
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
    checked = _checked(agency_files(arguments.paths))
    if arguments.json:
        print(json.dumps(_document(checked), indent=2, ensure_ascii=False))
    else:
        print(_text(checked))
    return 1 if any(one.problems for one in checked.values()) else 0


def agency_path(name: str) -> Path:
    """The file of an agency that an argument names, by its name in ./agencies or by its path."""
    path = Path(name)
    is_name = path.name == name and not path.suffix and not path.exists()
    return DEFAULT_DIRECTORY / f"{name}.yaml" if is_name else path


def add_agencies(parser: argparse.ArgumentParser) -> None:
    """Add the agencies that a command is for; `chosen_files` reads them."""
    parser.add_argument(
        "agencies",
        nargs="*",
        metavar="AGENCY",
        help="agency, or path of its file; default: all of ./agencies",
    )


def chosen_files(arguments: argparse.Namespace) -> list[Path]:
    """The agency files that a command is for, by the arguments of `add_agencies`."""
    return agency_files([agency_path(name) for name in arguments.agencies])


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


@dataclass
class _Checked:
    """What is wrong with one file, and what its `auto` instance types come to."""

    problems: list[Problem]
    chosen: list[Problem]


def _checked(paths: Sequence[Path]) -> dict[str, _Checked]:
    """The result for each file by its name; problems between files are with the later one."""
    from quant_llm.agency import check_together, display_name, read_agency

    files = [read_agency(path) for path in paths]
    checked = {display_name(file.path): _Checked(list(file.problems), []) for file in files}
    for file in files:
        if file.config is not None:
            _check_fit(file.config, file.path, checked[display_name(file.path)])
    for problem in check_together(file.config for file in files if file.config):
        checked[problem.file].problems.append(problem)
    for one in checked.values():
        one.problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    return checked


def _check_fit(agency: AgencyConfig, path: Path, checked: _Checked) -> None:
    """Adds what the catalogue says: with the locks where they are current, else what needs none."""
    from quant_llm.agency import AUTO, current_locks
    from quant_llm.catalogue import check, choices, explained

    try:
        locks = current_locks(agency, path)
    except QuantLlmError as error:
        checked.problems.append(agency.problem((), str(error)))
        locks = {}
    checked.problems += check(agency, locks)
    found = choices(agency, locks)
    for index, model in enumerate(agency.models):
        if model.name in found and found[model.name].chosen is not None:
            message = explained(agency, found[model.name])
            checked.chosen.append(agency.problem(("models", index, "instance_type"), message))
        elif model.instance_type == AUTO and model.name not in found:
            message = "auto is chosen once `quantllm lock` has been run"
            checked.chosen.append(agency.problem(("models", index, "instance_type"), message))


def _document(checked: dict[str, _Checked]) -> dict[str, Any]:
    files = [
        {
            "file": file,
            "ok": not one.problems,
            "problems": [_listed(problem) for problem in one.problems],
            "chosen": [
                {"line": chosen.line, "field": chosen.field, "message": chosen.message}
                for chosen in one.chosen
            ],
        }
        for file, one in checked.items()
    ]
    return {"files": files, "ok": not any(one.problems for one in checked.values())}


def _listed(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(problem).items() if key != "file"}


def _text(checked: dict[str, _Checked]) -> str:
    lines: list[str] = []
    for file, one in checked.items():
        lines.append(f"{file}: {_count(len(one.problems), 'error') if one.problems else 'ok'}")
        lines += [str(problem) for problem in one.problems]
        lines += [str(chosen) for chosen in one.chosen]
    total = sum(len(one.problems) for one in checked.values())
    wrong = sum(bool(one.problems) for one in checked.values())
    lines.append(
        f"{_count(len(checked), 'file')}: {_count(total, 'error')}" + (f" in {wrong}" if wrong else "")
    )
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _schema(_arguments: argparse.Namespace) -> int:
    from quant_llm.agency import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
