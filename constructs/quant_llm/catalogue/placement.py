"""Where each model of an agency runs: the refusals of its file, and what the stack asks SageMaker for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quant_llm.agency import AUTO, AgencyConfig, AgencyFileError, Location, ModelConfig, ModelLock, Problem
from quant_llm.catalogue.choose import Choice, by_likely_price, choose, choose_from
from quant_llm.catalogue.engine_checks import engine_problems
from quant_llm.catalogue.fit import Fit, Reason, assess, assess_type
from quant_llm.catalogue.formats import engines_of
from quant_llm.catalogue.schema import InstanceType, load_catalogue
from quant_llm.catalogue.sizing import download_seconds, longest_context, startup_seconds, volume_gb
from quant_llm.catalogue.workload import Workload, most_instances

LEAST_CONTEXT = 128
"""The shortest `context_length` that an agency file takes."""


@dataclass(frozen=True)
class Placement:
    """What one endpoint asks of SageMaker. `choice` is there when the file leaves the type to the sizing.

    `ami` and `volume_gb` are None where SageMaker decides; `instance_store` is whether the model lies on
    disks of the instance's own, which take no volume size and no key, None if that isn't known. The timeouts
    are in seconds. `gpu_count` is the number of GPUs of an instance, None for a type that the catalogue
    doesn't have.
    """

    instance_type: str
    ami: str | None
    volume_gb: int | None
    instance_store: bool | None
    download_seconds: int
    startup_seconds: int
    choice: Choice | None = None
    gpu_count: int | None = None

    @property
    def why(self) -> dict[str, Any] | None:
        """Why `auto` is this type, for the template: the sum, the price, and the next two. Else None."""
        if self.choice is None or self.choice.chosen is None:
            return None
        return {
            **described(self.choice.chosen),
            "runners_up": [described(one) for one in self.choice.runners_up],
        }


def described(fit: Fit) -> dict[str, Any]:
    """A fit as plain data: the type, its price and what that is based on, and the memory of one GPU."""
    price = fit.price
    return {
        "instance_type": fit.instance.instance_type,
        "gpus": fit.instance.gpus,
        "price": "unknown" if price is None else str(price),
        "price_basis": "unknown" if price is None else f"{price.basis}, {price.as_of}, {price.note}",
        "memory_per_gpu": "" if fit.memory is None else fit.memory.arithmetic,
    }


def place(agency: AgencyConfig, locks: Mapping[str, ModelLock]) -> dict[str, Placement]:
    """The placement of each model, by name; AgencyFileError with every refusal."""
    problems = check(agency, locks)
    if problems:
        raise AgencyFileError(problems)
    return {model.name: _placement(agency, model, locks[model.name]) for model in agency.models}


def _placement(agency: AgencyConfig, model: ModelConfig, lock: ModelLock) -> Placement:
    workload, choice = Workload.of(model, lock), None
    if model.instance_type == AUTO:
        choice = choose(workload, agency.environment.region, quotas=agency.quotas)
        fit = choice.chosen
    else:
        fit = _judge(agency, model, lock, load_catalogue().find(model.instance_type))
    instance_type = fit.instance.instance_type if fit else model.instance_type
    return Placement(
        instance_type=instance_type,
        ami=fit.ami.name if fit and fit.ami else None,
        volume_gb=volume_gb(workload, fit.instance) if fit else None,
        instance_store=has_instance_store(instance_type),
        download_seconds=download_seconds(lock.total_bytes),
        startup_seconds=startup_seconds(lock.total_bytes, model.engine),
        choice=choice,
        gpu_count=fit.instance.gpu_count if fit else None,
    )


def has_instance_store(instance_type: str) -> bool | None:
    """Whether a type has disks of its own; None when neither the catalogue nor the type's name says.

    Of types without GPUs a `d` after the generation says it: "Amazon EC2 instance type naming conventions".
    """
    known = load_catalogue().find(instance_type)
    if known is not None:
        return known.local_storage_gb is not None
    named = re.fullmatch(r"ml\.[cmrt]\d([a-z]*)\.\w+", instance_type)
    return None if named is None else "d" in named[1]


def choices(agency: AgencyConfig, locks: Mapping[str, ModelLock]) -> dict[str, Choice]:
    """What `auto` comes to, by the name of the model; only of models that have a lock."""
    return {
        model.name: choose(
            Workload.of(model, locks[model.name]), agency.environment.region, quotas=agency.quotas
        )
        for model in agency.models
        if model.instance_type == AUTO and model.name in locks
    }


def explained(agency: AgencyConfig, choice: Choice) -> str:
    """A choice in one line: `auto is ml.g5.xlarge at $1.408/h (weights …), then ml.g5.2xlarge at …`."""
    if choice.chosen is None:
        return f"auto finds no type in {agency.environment.region}"
    memory = f" ({choice.chosen.memory.arithmetic})" if choice.chosen.memory else ""
    others = "".join(f", then {one.offer}" for one in choice.runners_up)
    unknown = choice.chosen.price is not None and any(one.price is None for one in choice.runners_up)
    hint = "; an unknown price loses to a known one, `quantllm prices refresh` reads it" if unknown else ""
    return f"auto is {choice.chosen.offer}{memory}{others}{hint}"


def check(agency: AgencyConfig, locks: Mapping[str, ModelLock]) -> list[Problem]:
    """Everything that the catalogue has against an agency file.

    Of a model without a lock only what needs none: the region, the engine's container, variables, GPUs and
    driver, the quota.
    """
    problems: list[Problem] = []
    for index, model in enumerate(agency.models):
        lock, at = locks.get(model.name), ("models", index)
        problems += engine_problems(agency, model, lock, at)
        problems += _context(agency, model, lock, at)
        if lock is None or model.engine in engines_of(lock.shape):  # else the sums mean nothing
            problems += _instance_type(agency, model, lock, at)
        problems += _gpus_of_a_copy(agency, model, at)
        problems += _quota(agency, model, at)
    return problems or list(_quotas_together(agency, locks))


def _context(
    agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None, at: Location
) -> Iterator[Problem]:
    """No engine gives a request more than the model was made for, unless it is told how to stretch it."""
    stretched = any("ROPE" in name or "YARN" in name for name in model.environment)
    if lock is None or stretched or model.context_length <= lock.shape.context_length:
        return
    most = lock.shape.context_length
    yield agency.wrong(
        (*at, "context_length"), model.context_length, f"at most {most}, what the model was made for"
    )


def _instance_type(
    agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None, at: Location
) -> Iterator[Problem]:
    if model.instance_type == AUTO:
        if _nearest(agency, model, lock).chosen is None:
            yield agency.wrong((*at, "instance_type"), AUTO, _nothing_fits(agency, model, lock))
        return
    instance = load_catalogue().find(model.instance_type)
    if instance is None:
        if model.image is None:
            expected = "a type with NVIDIA GPUs that the catalogue knows"
            yield _refusal(agency, model, lock, at, Reason("engine", expected), None)
        return
    fit = _judge(agency, model, lock, instance)
    for reason in fit.reasons if fit else ():
        yield _refusal(agency, model, lock, at, reason, instance)


def _gpus_of_a_copy(agency: AgencyConfig, model: ModelConfig, at: Location) -> Iterator[Problem]:
    """A copy of an inference component says how many GPUs it takes: those of its instance, if known."""
    known = model.instance_type == AUTO or load_catalogue().find(model.instance_type) is not None
    if agency.deployed(model).is_component and not known and model.image is not None:
        expected = (
            "a type of the catalogue, whose number of GPUs is known, or 1 or more instances at all times"
        )
        yield agency.wrong((*at, "instance_type"), model.instance_type, expected)


def _refusal(
    agency: AgencyConfig,
    model: ModelConfig,
    lock: ModelLock | None,
    at: Location,
    reason: Reason,
    instance: InstanceType | None,
) -> Problem:
    nearest = _nearest(agency, model, lock, like=instance).chosen
    if nearest is None:
        hint = f"no type in {agency.environment.region} works"
    else:
        hint = f"nearest that works: {nearest.offer}"
    if reason.code == "memory" and lock and instance:
        context = min(longest_context(Workload.of(model, lock), instance), lock.shape.context_length)
        if context >= LEAST_CONTEXT:
            hint += f", or context_length: {context} on {instance.instance_type}"
    return agency.wrong(
        (*at, "instance_type"),
        model.instance_type,
        reason.text,
        nearest=nearest.instance.instance_type if nearest else None,
        hint=hint,
    )


def _judge(
    agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None, instance: InstanceType | None
) -> Fit | None:
    """The fit of a type, but for the quota, which is told at the number of instances."""
    region = agency.environment.region
    if instance is None:
        return None
    if lock is None:
        return assess_type(model.engine, instance, region, brings_image=model.image is not None)
    return assess(Workload.of(model, lock), instance, region)


def _nearest(
    agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None, *, like: InstanceType | None = None
) -> Choice:
    """What works in the region; without a lock among types with as much GPU memory as the one in the file."""
    region = agency.environment.region

    def judge(one: InstanceType) -> Fit:
        quota = agency.quotas.get(one.instance_type)
        if lock is not None:
            return assess(Workload.of(model, lock), one, region, quota=quota)
        return assess_type(
            model.engine,
            one,
            region,
            brings_image=model.image is not None,
            instances=most_instances(model),
            quota=quota,
        )

    hosted = load_catalogue().hosted_in(region)
    if lock is None and like is not None:
        as_large = [one for one in hosted if _memory_of(one) >= _memory_of(like)]
        choice = choose_from(as_large, judge, by_likely_price)
        # Of smaller ones the largest comes nearest.
        return (
            choice if choice.chosen else choose_from(hosted, judge, lambda one: (-_memory_of(one.instance),))
        )
    return choose_from(hosted, judge, by_likely_price)


def _memory_of(instance: InstanceType | None) -> int:
    return instance.gpu_count * (instance.gpu_memory_mib_each or 0) if instance else 0


def _nothing_fits(agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None) -> str:
    """What the type that comes nearest lacks: of those of the region the one with the most memory."""
    region = agency.environment.region
    refused = _nearest(agency, model, lock).refused
    if not refused:
        return f"a region where SageMaker hosts GPUs: the catalogue has none in {region}"
    largest = max(refused, key=lambda one: (len(one.reasons) == 1, _memory_of(one.instance)))
    name = largest.instance.instance_type
    return f"a type that fits; for {name}, the nearest in {region}, it takes {largest.reasons[0].text}"


def _quota(agency: AgencyConfig, model: ModelConfig, at: Location) -> Iterator[Problem]:
    """More instances than the quota of the type that the file names."""
    quota = agency.quotas.get(model.instance_type)
    if quota is None:
        return
    scaling = (*at, "scaling")
    entries = [((*scaling, "max"), model.scaling.max)]
    entries += [
        ((*scaling, "schedule", index, "max"), entry.max)
        for index, entry in enumerate(model.scaling.schedule)
    ]
    for location, most in entries:
        if most > quota:
            yield agency.wrong(location, most, f"at most {quota}, the quota of {model.instance_type}")


def _quotas_together(agency: AgencyConfig, locks: Mapping[str, ModelLock]) -> Iterator[Problem]:
    """Models that are each within a quota and together over it."""
    chosen = choices(agency, locks)
    asked: dict[str, list[ModelConfig]] = {}
    for model in agency.models:
        choice = chosen.get(model.name)
        found = choice.chosen.instance.instance_type if choice and choice.chosen else model.instance_type
        asked.setdefault(found, []).append(model)
    for instance_type, quota in agency.quotas.items():
        models = asked.get(instance_type, [])
        total = sum(most_instances(model) for model in models)
        if total > quota:
            sums = " + ".join(f"{most_instances(model)} of {model.name}" for model in models)
            yield agency.wrong(("quotas", instance_type), quota, f"{total} at least, for {sums}")
