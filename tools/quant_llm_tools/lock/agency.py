"""Locks or checks all models of agency files, and writes the lock files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from quant_llm.agency import (
    AdapterLock,
    AgencyConfig,
    AgencyFileError,
    AgencyLock,
    Location,
    ModelConfig,
    ModelLock,
    QuantiseConfig,
    QuantiseLock,
    display_name,
    load_agency,
    lock_path,
    locked,
    unfit,
)
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.adapters import lock_adapter
from quant_llm_tools.lock.hub import HubRepository, ModelRepository
from quant_llm_tools.lock.resolve import lock_model

Progress = Callable[[str], None]
OpenRepository = Callable[
    [AgencyConfig, ModelConfig | QuantiseConfig, Progress], AbstractContextManager[ModelRepository]
]


@dataclass(frozen=True)
class AgencyOutcome:
    """What came of one agency file: its models' locks before and after, or errors and nothing written."""

    file: str
    lock: str
    agency: str | None = None
    before: Mapping[str, ModelLock] = field(default_factory=dict)
    after: Mapping[str, ModelLock] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    changed: bool = False


def open_hub(agency: AgencyConfig, model: ModelConfig | QuantiseConfig, notice: Progress) -> HubRepository:
    """The model's repository at the hub that HF_ENDPOINT names."""
    return HubRepository(
        model.source.hub,
        model.source.revision,
        token_secret=model.source.token_secret,
        region=agency.environment.region,
        notice=notice,
    )


def lock_agencies(
    paths: Sequence[Path], only: str | None, progress: Progress, open_repository: OpenRepository = open_hub
) -> list[AgencyOutcome]:
    """Lock every agency file, each for itself: an error in one keeps no other from its lock.

    `only` names the one model to lock, in whichever of the files it is; QuantLlmError when it is in none.
    """
    outcomes = [_lock_agency(path, only, progress, open_repository) for path in paths]
    found = [outcome for outcome in outcomes if outcome is not None]
    if not found:
        files = ", ".join(map(display_name, paths))
        raise QuantLlmError(f"no model is named {only!r} in {files}")
    return found


def check_agency(path: Path) -> AgencyOutcome:
    """Compare an agency file with its lock, without a hub."""
    file, lock = display_name(path), display_name(lock_path(path))
    try:
        config = load_agency(path)
        models = locked(config, path)
        written = AgencyLock.read(lock_path(path))
        recipes = {recipe.name for recipe in config.quantise}
        surplus = (written.models.keys() - models.keys()) | (written.quantise.keys() - recipes)
        if surplus:
            names = ", ".join(sorted(surplus))
            message = f"{lock} has {names} too: run `quantllm lock {shlex.quote(file)}` and commit the lock"
            raise AgencyFileError([config.problem(("models",), message)])
    except QuantLlmError as error:
        return AgencyOutcome(file, lock, path.stem, errors=tuple(str(error).splitlines()))
    return AgencyOutcome(file, lock, config.agency, models, models)


def _lock_agency(
    path: Path, only: str | None, progress: Progress, open_repository: OpenRepository
) -> AgencyOutcome | None:
    """None when the file has no model named `only`."""
    file, lock_file = display_name(path), display_name(lock_path(path))
    errors: list[str] = []
    try:
        config = load_agency(path)
        wanted = _to_lock(config)
        if only is not None and only not in [one.name for _, one in wanted]:
            return None
        lock = _read_lock(lock_path(path), needed=only is not None or bool(config.quantise))
    except QuantLlmError as error:
        return AgencyOutcome(file, lock_file, errors=tuple(str(error).splitlines()))
    before = {**lock.models, **{name: recipe.source for name, recipe in lock.quantise.items()}}
    after: dict[str, ModelLock] = {}
    for place, one in wanted:
        if only not in (None, one.name):
            if one.name in before:
                after[one.name] = before[one.name]
            continue
        tell = _prefixed(progress, f"{file}: {one.name}")
        try:
            with open_repository(config, one, tell) as repository:
                found = lock_model(one, repository, tell)
            if isinstance(one, QuantiseConfig) and (wrong := unfit(one, found.shape)):
                errors.append(str(config.problem((*place, wrong[0]), wrong[1])))
                continue
        except QuantLlmError as error:
            what = "model" if isinstance(one, ModelConfig) else "recipe"
            errors.append(str(config.problem((*place, "source"), f"{what} {one.name!r}: {error}")))
            continue
        if isinstance(one, ModelConfig) and one.adapters:
            adapters, problems = _lock_adapters(config, one, place, found, tell, open_repository)
            errors += problems
            found = found.model_copy(update={"adapters": adapters})
        after[one.name] = found
    if errors:
        return AgencyOutcome(file, lock_file, config.agency, before, errors=tuple(errors))
    content = _content(config, lock, after).to_json()
    try:
        changed = write_lock(lock_path(path), content)
    except OSError as error:
        message = f"{lock_file}: can't be written: {error.strerror}"
        return AgencyOutcome(file, lock_file, config.agency, before, errors=(message,))
    return AgencyOutcome(file, lock_file, config.agency, before, after, changed=changed)


def _to_lock(config: AgencyConfig) -> list[tuple[Location, ModelConfig | QuantiseConfig]]:
    """What has a source of its own at the hub, with its place in the file."""
    found: list[tuple[Location, ModelConfig | QuantiseConfig]] = [
        (("models", index), model)
        for index, model in enumerate(config.models)
        if model.source.quantised is None
    ]
    found += [(("quantise", index), recipe) for index, recipe in enumerate(config.quantise)]
    return found


def _content(config: AgencyConfig, before: AgencyLock, after: Mapping[str, ModelLock]) -> AgencyLock:
    """The new lock: results of recipes stay, and are refused by synth if they are of another source."""
    recipes: dict[str, QuantiseLock] = {}
    for recipe in config.quantise:
        if recipe.name in after:
            had = before.quantise.get(recipe.name)
            recipes[recipe.name] = QuantiseLock(
                source=after[recipe.name], result=None if had is None else had.result
            )
    models = {name: lock for name, lock in after.items() if name not in recipes}
    return AgencyLock(agency=config.agency, models=models, quantise=recipes)


def _lock_adapters(
    config: AgencyConfig,
    model: ModelConfig,
    place: Location,
    lock: ModelLock,
    progress: Progress,
    open_repository: OpenRepository,
) -> tuple[dict[str, AdapterLock], list[str]]:
    """The locks of a model's adapters by name, and what is wrong with the others."""
    locks: dict[str, AdapterLock] = {}
    errors: list[str] = []
    for number, adapter in enumerate(model.adapters):
        tell = _prefixed(progress, adapter.name)
        try:
            # One token for all of a model's files: also the repack has no other.
            source = adapter.source.model_copy(update={"token_secret": model.token_secret})
            with open_repository(config, model.model_copy(update={"source": source}), tell) as opened:
                locks[adapter.name] = lock_adapter(adapter, model.engine, lock.shape, opened, tell)
        except QuantLlmError as error:
            at = (*place, "adapters", number, "source")
            errors.append(str(config.problem(at, f"adapter {adapter.name!r}: {error}")))
    return locks, errors


def _prefixed(progress: Progress, prefix: str) -> Progress:
    return lambda line: progress(f"{prefix}: {line}")


def _read_lock(path: Path, *, needed: bool) -> AgencyLock:
    """The lock so far; a damaged one is an error only if entries of it are to be kept."""
    nothing = AgencyLock(agency=path.name, models={})
    if not path.exists():
        return nothing
    try:
        return AgencyLock.read(path)
    except QuantLlmError:
        if needed:
            raise
        return nothing


def write_lock(path: Path, content: str) -> bool:
    """Replace the file as a whole if its content is another; whether it was."""
    data = content.encode()
    if path.exists() and path.read_bytes() == data:
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True
