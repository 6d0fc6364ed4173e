"""Judges every instance type of the region for every quantisation of a model, by the catalogue."""

from __future__ import annotations

import math
from typing import Any

from quant_llm.catalogue import (
    Fit,
    Price,
    Workload,
    assess,
    by_likely_price,
    by_price,
    decode_limit,
    is_published,
    load_catalogue,
    longest_context,
    published_image,
)
from quant_llm.errors import QuantLlmError
from quant_llm_tools.plan.advice import SOURCE, advice
from quant_llm_tools.plan.document import (
    AdvicePlan,
    LeftOutPlan,
    MeasuredPlan,
    MemoryPlan,
    ModelPlan,
    PricePlan,
    QuantizationPlan,
    ReasonPlan,
    ShorterContext,
    TypePlan,
)
from quant_llm_tools.plan.measured import measured
from quant_llm_tools.plan.subject import Quantization, Subject

LEAST_CONTEXT = 128
"""The shortest `context_length` that an agency file takes."""


def plan_model(subject: Subject) -> ModelPlan:
    """The plan of a model; QuantLlmError when SageMaker hosts no type of the catalogue in the region."""
    if not load_catalogue().hosted_in(subject.region):
        raise QuantLlmError(f"the catalogue knows no GPU type that SageMaker hosts in {subject.region}")
    quantizations = sorted(
        ((_fits(subject, workload), one, workload) for one, workload in subject.workloads),
        key=lambda planned: _order(*planned),
    )
    _, first = subject.workloads[0]
    advised = advice(first.shape.parameters)
    return ModelPlan(
        name=subject.name,
        repository=subject.repository,
        revision=subject.revision,
        commit=subject.commit,
        region=subject.region,
        context_length=first.context_length,
        concurrency=first.concurrency,
        least_instances=subject.least_instances,
        most_instances=subject.most_instances,
        asked=subject.asked,
        advice=AdvicePlan(
            bits_without_loss=advised.without_loss,
            bits_with_2_to_3_percent_loss=advised.with_some_loss,
            because=advised.because,
            source=SOURCE,
        ),
        quantizations=tuple(_quantization(subject, *planned) for planned in quantizations),
        left_out=tuple(LeftOutPlan(name=one.name, reason=one.reason) for one in subject.left_out),
    )


def _fits(subject: Subject, workload: Workload) -> list[Fit]:
    """Every type of the region, what fits first, and the cheapest first, by known or likely price."""
    region, quotas = subject.region, subject.quotas
    found = [
        assess(workload, one, region, quota=quotas.get(one.instance_type))
        for one in load_catalogue().hosted_in(region)
    ]
    return sorted(found, key=lambda fit: (not fit.fits, *by_likely_price(fit)))


def _order(fits: list[Fit], one: Quantization, workload: Workload) -> tuple[Any, ...]:
    return (not fits[0].fits, *by_likely_price(fits[0]), -workload.weight_bytes, one.place, one.engine)


def _quantization(
    subject: Subject, fits: list[Fit], one: Quantization, workload: Workload
) -> QuantizationPlan:
    fitting = [fit for fit in fits if fit.fits]
    return QuantizationPlan(
        quantization=one.shape.quantization,
        engine=one.engine,
        files=one.files,
        place=one.place,
        bits_per_weight=one.shape.bits_per_weight,
        parameters=one.shape.parameters,
        weight_bytes=one.weight_bytes,
        total_bytes=one.total_bytes,
        notes=(*one.notes, *_notes(subject.region, workload)),
        # As `choose` does, which would assess all types once more.
        auto=min(fitting, key=by_price).instance.instance_type if fitting else None,
        shorter_context=None if fitting else _shorter_context(fits, workload),
        types=tuple(_type(subject, fit, workload) for fit in fits),
    )


def _notes(region: str, workload: Workload) -> list[str]:
    """What stands in the way of deploying this, whatever the instance type."""
    notes = []
    if is_published(workload.engine) and published_image(workload.engine, region) is None:
        notes.append(f"AWS has no container of {workload.engine} in {region}: name an `image` of your own")
    made_for = workload.shape.context_length
    if workload.context_length > made_for:
        notes.append(f"the model was made for {made_for:,} tokens, not {workload.context_length:,}")
    return notes


def _shorter_context(fits: list[Fit], workload: Workload) -> ShorterContext | None:
    """Of the types that lack nothing but memory the one with the longest context, the cheapest of those."""
    contexts = {
        fit.instance.instance_type: longest_context(workload, fit.instance)
        for fit in fits
        if {reason.code for reason in fit.reasons} == {"memory"}
    }
    longest = max(contexts, key=contexts.__getitem__, default=None)
    if longest is None or contexts[longest] < LEAST_CONTEXT:
        return None
    return ShorterContext(instance_type=longest, context_length=contexts[longest])


def _type(subject: Subject, fit: Fit, workload: Workload) -> TypePlan:
    need, instance = fit.memory, fit.instance
    if need is None:
        raise AssertionError("assess gives the memory of every workload")
    limit = decode_limit(workload, instance)
    found = measured(workload.engine, workload.shape, instance)
    return TypePlan(
        instance_type=instance.instance_type,
        gpu_model=instance.gpu_model,
        gpu_count=instance.gpu_count,
        fits=fit.fits,
        reasons=tuple(ReasonPlan(code=one.code, expected=one.text) for one in fit.reasons),
        memory=MemoryPlan(
            weights=need.weights,
            kv_cache=need.kv_cache,
            overhead=need.overhead,
            total=need.total,
            usable=fit.usable,
        ),
        tokens_per_s_limit=None if limit is None else math.floor(limit * 10) / 10,
        measured=found
        and MeasuredPlan(
            tokens_per_s_least=found.tokens_per_s[0],
            tokens_per_s_most=found.tokens_per_s[1],
            model=found.model,
            source=found.source,
        ),
        price=fit.price and _price(subject, fit.price),
    )


def _price(subject: Subject, price: Price) -> PricePlan:
    return PricePlan(
        usd_per_hour=price.usd_per_hour,
        usd_per_month_at_min=round(price.monthly(subject.least_instances), 2),
        usd_per_month_at_max=round(price.monthly(subject.most_instances), 2),
        basis=price.basis,
        as_of=price.as_of,
        note=price.note,
    )
