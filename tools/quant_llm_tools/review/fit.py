"""GPU memory that each endpoint needs and has, on either side."""

from __future__ import annotations

from collections.abc import Mapping

from quant_llm import catalogue
from quant_llm.agency import AUTO, AgencyConfig, ModelConfig, ModelLock
from quant_llm.catalogue import MIB, Workload, load_catalogue, memory_needed, usable_bytes
from quant_llm_tools.review.agencies import AgencySide
from quant_llm_tools.review.model import BeforeAfter, Fit


def fits(before: Mapping[str, AgencySide], after: Mapping[str, AgencySide]) -> dict[str, BeforeAfter[Fit]]:
    """The fits of all models of both sides, by endpoint name; files that can't be read have none."""
    old, new = _of_side(before), _of_side(after)
    return {name: BeforeAfter(old.get(name), new.get(name)) for name in sorted({*old, *new})}


def _of_side(side: Mapping[str, AgencySide]) -> dict[str, Fit]:
    return {
        one.config.endpoint_name(model): model_fit(one.config, model, one.locks.get(model.name))
        for one in side.values()
        if one.config is not None
        for model in one.config.models
    }


def model_fit(agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None) -> Fit:
    """The memory of one model on the type that it gets, whether it fits or not."""
    name = instance_type(agency, model, lock)
    if lock is None:
        return Fit(name, None, None, "the model has no current lock")
    instance = load_catalogue().find(name)
    if name == AUTO:
        return Fit(name, None, None, f"no type in {agency.environment.region} fits")
    if instance is None:
        return Fit(name, None, None, f"{name} is not in the catalogue")
    workload = Workload.of(model, lock)
    needed, available = memory_needed(workload, instance.gpu_count).total, usable_bytes(instance, workload)
    if available is None:
        return Fit(name, round(needed / MIB, 1), None, f"the memory of {instance.gpu_model} is not known")
    return Fit(name, round(needed / MIB, 1), round(available / MIB, 1))


def instance_type(agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None) -> str:
    """The type that a model gets: what the file says, or what `auto` comes to; `auto` when nothing fits."""
    if model.instance_type != AUTO or lock is None:
        return model.instance_type
    chosen = catalogue.choose(
        Workload.of(model, lock), agency.environment.region, quotas=agency.quotas
    ).chosen
    return chosen.instance.instance_type if chosen else AUTO
