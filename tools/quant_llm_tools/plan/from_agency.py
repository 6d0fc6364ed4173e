"""The models of an agency file, by their locks; one without a lock is resolved at the hub, and not locked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quant_llm.agency import AgencyConfig, ModelConfig, ModelLock, current_locks, load_agency
from quant_llm.catalogue import Workload, most_instances
from quant_llm.errors import QuantLlmError
from quant_llm_tools.plan.subject import Quantization, Subject, Wishes

Progress = Callable[[str], None]


def agency_subjects(path: Path, wishes: Wishes, progress: Progress) -> list[Subject]:
    """All models of the file that run on the engine that is wished for; QuantLlmError when there is none."""
    agency = load_agency(path)
    locks = current_locks(agency, path)
    models = [model for model in agency.models if wishes.engine in (None, model.engine)]
    if not models:
        raise QuantLlmError(f"{agency.file}: no model runs on {wishes.engine}")
    return [_subject(agency, model, locks.get(model.name), wishes, progress) for model in models]


def _subject(
    agency: AgencyConfig, model: ModelConfig, lock: ModelLock | None, wishes: Wishes, progress: Progress
) -> Subject:
    notes: tuple[str, ...] = ()
    if lock is None:
        lock = _resolved(agency, model, progress)
        notes = ("not locked: `quantllm lock` fixes what was found at the hub now",)
    workload = Workload.of(model, lock)
    workload = replace(
        workload,
        context_length=wishes.context_length or workload.context_length,
        concurrency=wishes.concurrency or workload.concurrency,
    )
    quantization = Quantization(
        model.engine,
        lock.shape,
        workload.weight_bytes,
        workload.total_bytes,
        model.source.files,
        ", ".join(model.source.files),
        notes,
    )
    return Subject(
        name=f"{agency.agency}: {model.name}",
        repository=model.source.hub,
        revision=model.source.revision,
        commit=lock.commit,
        region=wishes.region or agency.environment.region,
        workloads=((quantization, workload),),
        least_instances=agency.deployed(model).scaling.least,
        most_instances=most_instances(model),
        asked=model.instance_type,
        quotas=agency.quotas,
    )


def _resolved(agency: AgencyConfig, model: ModelConfig, progress: Progress) -> ModelLock:
    # Slow to import, and of no use to a file with a lock.
    from quant_llm_tools.lock.agency import open_hub
    from quant_llm_tools.lock.resolve import lock_model

    try:
        with open_hub(agency, model, progress) as repository:
            return lock_model(model, repository, progress)
    except QuantLlmError as error:
        message = f"model {model.name!r} has no lock, and {error}"
        raise QuantLlmError(
            str(agency.problem(("models", agency.models.index(model), "source"), message))
        ) from None
