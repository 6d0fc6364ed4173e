"""From agency files to checked configurations: one at a time, and against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from quant_llm.agency.config import AgencyConfig
from quant_llm.agency.document import Document, display_name
from quant_llm.agency.explain import explain
from quant_llm.agency.forms import NAME
from quant_llm.agency.problems import AgencyFileError, Location, Problem
from quant_llm.agency.relations import relations
from quant_llm.errors import QuantLlmError

SUFFIX = ".yaml"


@dataclass(frozen=True)
class AgencyFile:
    """What came of reading one file: `config` unless something is wrong with it, and all that is."""

    path: Path
    config: AgencyConfig | None
    problems: tuple[Problem, ...]


def read_agency(path: Path) -> AgencyFile:
    """Read and check one file and tell everything that is wrong with it at once; raises nothing."""
    try:
        document = Document.read(path)
    except AgencyFileError as error:
        return AgencyFile(path, None, error.problems)
    config = None
    problems = [*document.problems, *_name_problems(path, document)]
    try:
        config = AgencyConfig.from_document(document)
    except ValidationError as error:
        problems += explain(document, error)
    for one in relations(document.data):
        problems.append(document.wrong(one.location, one.expected, one.nearest, got=one.got))
    return AgencyFile(path, None if problems else config, _in_order(problems))


def load_agency(path: Path) -> AgencyConfig:
    """Read one file; AgencyFileError with every problem when it is wrong."""
    file = read_agency(path)
    if file.config is None:
        raise AgencyFileError(file.problems)
    return file.config


def find_agency_files(directory: Path) -> list[Path]:
    """The agency files of a folder, by name; QuantLlmError for a .yml file, which nobody would deploy."""
    misnamed = sorted(directory.glob("*.yml"))
    if misnamed:
        raise QuantLlmError(
            f"{display_name(misnamed[0])}: got the suffix .yml, expected {SUFFIX}: rename the file"
        )
    return sorted(directory.glob(f"*{SUFFIX}"))


def check_together(configs: Iterable[AgencyConfig]) -> list[Problem]:
    """What is wrong between files: one name for two stacks or endpoints of an account and region."""
    problems = []
    taken: dict[tuple[str, ...], str] = {}
    for config in configs:
        for location, name, what in _names(config):
            place = (what, name, config.environment.account, config.environment.region)
            first = taken.setdefault(place, config.file)
            if first != config.file:
                where = f"{config.environment.account} in {config.environment.region}"
                problems.append(
                    config.problem(location, f"{what} {name!r} of account {where} is that of {first} too")
                )
    return problems


def _names(config: AgencyConfig) -> Iterator[tuple[Location, str, str]]:
    yield ("agency",), config.stack_name, "the stack"
    for index, model in enumerate(config.models):
        yield ("models", index, "name"), config.endpoint_name(model), "the endpoint"


def _name_problems(path: Path, document: Document) -> list[Problem]:
    if path.suffix != SUFFIX:
        return [document.problem((), f"got the file name {path.name!r}, expected <agency>{SUFFIX}")]
    agency = document.data.get("agency") if isinstance(document.data, dict) else None
    if not isinstance(agency, str) or agency == path.stem or not NAME.fits(agency):
        return []
    return [document.wrong(("agency",), "the name of the file without .yaml", path.stem)]


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda one: (one.line or 0, one.column or 0)))
