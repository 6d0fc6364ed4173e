"""What is wrong with a model's engine, whatever the instance type: no container, weights, or variables."""

from __future__ import annotations

from collections.abc import Iterator

from quant_llm.agency import AgencyConfig, Location, ModelConfig, ModelLock, Problem
from quant_llm.catalogue.engine_images import is_published, published_image
from quant_llm.catalogue.engine_needs import NEEDS
from quant_llm.catalogue.engine_options import wrong_variable
from quant_llm.catalogue.formats import engines_of, least_capability


def engine_problems(
    agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None, at: Location
) -> Iterator[Problem]:
    """The problems of the model at a location of the file; without a lock those that need none."""
    yield from _container(agency, model, at)
    if lock is not None:
        yield from _weights(agency, model, lock, at)
    yield from _variables(agency, model, at)


def _container(agency: AgencyConfig, model: ModelConfig, at: Location) -> Iterator[Problem]:
    region = agency.environment.region
    if model.image is None and is_published(model.engine) and published_image(model.engine, region) is None:
        name = NEEDS[model.engine].name
        yield agency.wrong(
            (*at, "engine"),
            model.engine,
            f"an engine whose container is in {region}, where AWS has none of {name}",
            hint="or name an image of your own with `image`",
        )


def _weights(agency: AgencyConfig, model: ModelConfig, lock: ModelLock, at: Location) -> Iterator[Problem]:
    if least_capability(model.engine, lock.shape) is not None:
        return
    readers = engines_of(lock.shape)
    names = ", ".join(readers) or "none does"
    yield agency.wrong(
        (*at, "engine"),
        model.engine,
        f"an engine that reads {lock.shape.quantization}, which the lock has: {names}",
        nearest=readers[0] if readers else None,
    )


def _variables(agency: AgencyConfig, model: ModelConfig, at: Location) -> Iterator[Problem]:
    for name in model.environment:
        if wrong := wrong_variable(model.engine, name, brings_image=model.image is not None):
            yield agency.wrong((*at, "environment", name), name, wrong.expected, nearest=wrong.nearest)
