"""The lock that belongs to an agency file, checked to be the lock of what the file says now."""

from __future__ import annotations

from pathlib import Path

from quant_llm.agency.config import AgencyConfig, SourceConfig
from quant_llm.agency.document import display_name
from quant_llm.agency.lock import AgencyLock, LockedSource, ModelLock
from quant_llm.agency.problems import AgencyFileError, Location, Problem


def lock_path(path: Path) -> Path:
    """Where the lock of an agency file is: `agencies/moh.lock.json` for `agencies/moh.yaml`."""
    return path.with_suffix(".lock.json")


def locked_source(source: SourceConfig) -> LockedSource:
    """What the lock records of a model's source; the two are compared to tell a stale lock."""
    return LockedSource(hub=source.hub, revision=source.revision, files=list(source.files))


def locked(agency: AgencyConfig, path: Path) -> dict[str, ModelLock]:
    """The lock of each model of the agency file at `path`, by model name.

    AgencyFileError, with the command to run, when the lock file is missing or of another agency, or when a
    model is not in it or has changed its source since.
    """
    file = lock_path(path)
    remedy = f"run `quantllm lock {display_name(path)}` and commit the lock"
    if not file.exists():
        raise AgencyFileError([agency.problem(("models",), f"there is no {display_name(file)}: {remedy}")])
    lock = AgencyLock.read(file)
    if lock.agency != agency.agency:
        message = f"{display_name(file)} is the lock of {lock.agency!r}, not of {agency.agency!r}: {remedy}"
        raise AgencyFileError([agency.problem(("agency",), message)])
    problems: list[Problem] = []
    for index, model in enumerate(agency.models):
        at: Location = ("models", index)
        entry = lock.models.get(model.name)
        if entry is None:
            message = f"model {model.name!r} is not in {display_name(file)}: {remedy}"
            problems.append(agency.problem((*at, "name"), message))
        else:
            for field, now, then in _differences(locked_source(model.source), entry.source):
                message = (
                    f"model {model.name!r} has {now!r} here and {then!r} in {display_name(file)}: {remedy}"
                )
                problems.append(agency.problem((*at, "source", field), message))
    if problems:
        raise AgencyFileError(problems)
    return {model.name: lock.models[model.name] for model in agency.models}


def current_locks(agency: AgencyConfig, path: Path) -> dict[str, ModelLock]:
    """The locks that are of what the file at `path` says now, by model name; the others are left out.

    QuantLlmError when there is a lock file that can't be read.
    """
    file = lock_path(path)
    if not file.exists():
        return {}
    lock = AgencyLock.read(file)
    return {
        model.name: lock.models[model.name]
        for model in agency.models
        if lock.agency == agency.agency
        and model.name in lock.models
        and not _differences(locked_source(model.source), lock.models[model.name].source)
    }


def _differences(now: LockedSource, then: LockedSource) -> list[tuple[str, object, object]]:
    return [
        (field, getattr(now, field), getattr(then, field))
        for field in LockedSource.model_fields
        if getattr(now, field) != getattr(then, field)
    ]
