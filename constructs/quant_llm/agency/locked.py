"""The lock that belongs to an agency file, checked to be the lock of what the file says now."""

from __future__ import annotations

import shlex
from pathlib import Path

from quant_llm.agency.config import AgencyConfig, ModelConfig, QuantiseConfig, SourceConfig
from quant_llm.agency.document import display_name
from quant_llm.agency.lock import (
    AgencyLock,
    LockedSource,
    ModelLock,
    ModelShape,
    QuantiseLock,
    QuantiseRecipe,
)
from quant_llm.agency.problems import AgencyFileError, Location, Problem
from quant_llm.agency.recipe_relations import GROUP_SIZES

_UNQUANTISED = ("BF16", "F16", "F32")
"""What the lock calls the types of weights that a recipe can start from."""


def lock_path(path: Path) -> Path:
    """Where the lock of an agency file is: `agencies/moh.lock.json` for `agencies/moh.yaml`."""
    return path.with_suffix(".lock.json")


def locked_source(source: SourceConfig) -> LockedSource:
    """What the lock records of a model's source; the two are compared to tell a stale lock."""
    return LockedSource(
        hub=source.hub, revision=source.revision, files=list(source.files), quantised=source.quantised
    )


def recipe_of(recipe: QuantiseConfig, calibration_sha256: str | None) -> QuantiseRecipe:
    """What the lock records of a recipe; the two are compared to tell a result of another recipe."""
    return QuantiseRecipe(method=recipe.method, **recipe.settings, calibration_sha256=calibration_sha256)


def locked(agency: AgencyConfig, path: Path) -> dict[str, ModelLock]:
    """The lock of each model of the agency file at `path`, by model name.

    AgencyFileError, with the command to run, when the lock file is missing or of another agency, or when a
    model is not in it or has changed its source since.
    """
    file = lock_path(path)
    remedy = f"run `quantllm lock {shlex.quote(display_name(path))}` and commit the lock"
    if not file.exists():
        raise AgencyFileError([agency.problem(("models",), f"there is no {display_name(file)}: {remedy}")])
    lock = AgencyLock.read(file)
    if lock.agency != agency.agency:
        message = f"{display_name(file)} is the lock of {lock.agency!r}, not of {agency.agency!r}: {remedy}"
        raise AgencyFileError([agency.problem(("agency",), message)])
    problems: list[Problem] = []
    for index, model in enumerate(agency.models):
        at: Location = ("models", index)
        if model.source.quantised is not None:
            if missing := _no_result(agency, model, lock):
                problems.append(agency.problem((*at, "source", "quantised"), missing))
            continue
        entry = lock.models.get(model.name)
        if entry is None:
            message = f"model {model.name!r} is not in {display_name(file)}: {remedy}"
            problems.append(agency.problem((*at, "name"), message))
        else:
            for place, now, then in _stale(model, entry):
                message = (
                    f"model {model.name!r} has {now!r} here and {then!r} in {display_name(file)}: {remedy}"
                )
                problems.append(agency.problem((*at, *place), message))
    for index, recipe in enumerate(agency.quantise):
        made = lock.quantise.get(recipe.name)
        if made is None or locked_source(recipe.source) != made.source.source:
            message = f"recipe {recipe.name!r} is not in {display_name(file)} as it is here: {remedy}"
            problems.append(agency.problem(("quantise", index, "source"), message))
        elif wrong := unfit(recipe, made.source.shape):
            problems.append(agency.problem(("quantise", index, wrong[0]), wrong[1]))
    if problems:
        raise AgencyFileError(problems)
    return {model.name: entry for model in agency.models if (entry := _entry(model, lock))}


def unfit(recipe: QuantiseConfig, shape: ModelShape) -> tuple[str, str] | None:
    """The field of a recipe that weights of this shape don't fit, and why; None where they do."""
    if shape.quantization not in _UNQUANTISED:
        return "source", f"recipe {recipe.name!r}: the weights are {shape.quantization} already"
    size = recipe.settings["group_size"]
    widths = (shape.embedding_size, shape.attention_heads * shape.head_size)
    if size and (wrong := [width for width in widths if width % size]):
        fits = [str(one) for one in GROUP_SIZES if not any(width % one for width in widths)]
        message = f"layers of the model have {wrong[0]} inputs, expected a multiple of the group size, {size}"
        return "group_size", f"{message}: {' and '.join(fits) or 'none'} would fit"
    return None


def locked_recipes(agency: AgencyConfig, path: Path) -> dict[str, QuantiseLock]:
    """The lock of each recipe of an agency file whose locks are `locked`, by the recipe's name."""
    if not agency.quantise:
        return {}
    lock = AgencyLock.read(lock_path(path))
    return {recipe.name: lock.quantise[recipe.name] for recipe in agency.quantise}


def _entry(model: ModelConfig, lock: AgencyLock) -> ModelLock | None:
    """The model's own lock, or that of the recipe's result."""
    if model.source.quantised is None:
        return lock.models.get(model.name)
    recipe = lock.quantise.get(model.source.quantised)
    return None if recipe is None else recipe.model(model.source.quantised)


def _no_result(agency: AgencyConfig, model: ModelConfig, lock: AgencyLock) -> str | None:
    """Why the model's recipe has no result that can be served, and what to do; None when it has."""
    name = str(model.source.quantised)
    made = lock.quantise.get(name)
    command = f"`quantllm quantise {shlex.quote(agency.file)} --recipe {name}`"
    if made is None or made.result is None:
        return f"the recipe {name!r} has no result yet: deploy without this model, and run {command}"
    if _entry(model, lock) is None:
        return f"the result of the recipe {name!r} was made of other weights: add a recipe, and keep this one"
    asked = recipe_of(agency.recipe(name), made.result.recipe.calibration_sha256)
    if asked != made.result.recipe:
        return (
            f"the recipe {name!r} is not the one that its result was made by: add a recipe, and keep this one"
        )
    return None


def current_locks(agency: AgencyConfig, path: Path) -> dict[str, ModelLock]:
    """The locks that are of what the file at `path` says now, by model name; the others are left out.

    QuantLlmError when there is a lock file that can't be read.
    """
    file = lock_path(path)
    if not file.exists():
        return {}
    lock = AgencyLock.read(file)
    return {
        model.name: entry
        for model in agency.models
        if lock.agency == agency.agency and (entry := _entry(model, lock)) and not _stale(model, entry)
    }


def _stale(model: ModelConfig, lock: ModelLock) -> list[tuple[Location, object, object]]:
    """Where in the model the file says something else than the lock, what, and what the lock says."""
    found = _differences(("source",), locked_source(model.source), lock.source)
    names = sorted(adapter.name for adapter in model.adapters)
    if names != sorted(lock.adapters):
        return [*found, (("adapters",), names, sorted(lock.adapters))]
    for index, adapter in enumerate(model.adapters):
        then = lock.adapters[adapter.name].source
        found += _differences(("adapters", index, "source"), locked_source(adapter.source), then)
    return found


def _differences(
    at: Location, now: LockedSource, then: LockedSource
) -> list[tuple[Location, object, object]]:
    return [
        ((*at, field), getattr(now, field), getattr(then, field))
        for field in LockedSource.model_fields
        if getattr(now, field) != getattr(then, field)
    ]
