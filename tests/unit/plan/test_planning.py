"""The plans of the example agencies, against the catalogue's own choice and sums worked out here."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from typing import get_args

import pytest

from quant_llm.agency import Engine
from quant_llm.catalogue import Workload, choose, engine_images, load_catalogue, memory_needed, usd_per_hour
from quant_llm.catalogue.engine_images import load_published_images
from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.plan.command import ENGINES
from quant_llm_tools.plan.document import ModelPlan, Plan
from quant_llm_tools.plan.from_agency import agency_subjects
from quant_llm_tools.plan.planning import plan_model
from quant_llm_tools.plan.subject import Quantization, Subject, Wishes

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
YARDSTICK = "us-east-1"


def quiet(_line: str) -> None:
    return


@functools.cache
def subjects(region: str | None = None) -> tuple[Subject, ...]:
    return tuple(
        subject
        for name in ("default", "health", "justice")
        for subject in agency_subjects(FIXTURES / f"{name}.yaml", Wishes(region=region), quiet)
    )


@functools.cache
def plans(region: str | None = None) -> tuple[ModelPlan, ...]:
    return tuple(map(plan_model, subjects(region)))


@pytest.mark.parametrize("region", [None, "us-east-1", "eu-central-1"])
def test_every_type_of_the_region_is_judged_and_auto_is_the_catalogues_choice(region: str | None) -> None:
    for subject, plan in zip(subjects(region), plans(region), strict=True):
        hosted = {one.instance_type for one in load_catalogue().hosted_in(subject.region)}
        for (_, workload), one in zip(subject.workloads, plan.quantizations, strict=True):
            assert {planned.instance_type for planned in one.types} == hosted
            choice = choose(workload, subject.region, quotas=subject.quotas)
            refused = {fit.instance.instance_type for fit in choice.refused}
            assert {planned.instance_type for planned in one.types if not planned.fits} == refused
            assert one.auto == (choice.chosen and choice.chosen.instance.instance_type)


def test_what_fits_comes_first_and_the_cheapest_of_it() -> None:
    for plan in plans():
        for one in plan.quantizations:
            fits = [planned.fits for planned in one.types]
            assert fits == sorted(fits, reverse=True)
            likely = []
            for planned in one.types:
                price = planned.price or usd_per_hour(planned.instance_type, YARDSTICK)
                likely.append(price.usd_per_hour if price else float("inf"))
            count = sum(fits)
            assert likely[:count] == sorted(likely[:count])
            assert likely[count:] == sorted(likely[count:])


def test_a_month_is_730_hours_at_the_least_and_the_most_instances() -> None:
    plan = next(one for one in plans() if one.name == "health: mistral-7b")
    # Its schedule asks for 2 in office hours, and never for less than 1.
    assert (plan.least_instances, plan.most_instances) == (1, 4)
    price = plan.quantizations[0].types[0].price
    assert price is not None
    assert price.basis == "estimate"
    assert price.usd_per_month_at_min == pytest.approx(price.usd_per_hour * 730, abs=0.01)
    assert price.usd_per_month_at_max == pytest.approx(price.usd_per_hour * 730 * 4, abs=0.01)


def test_what_nobody_knows_the_price_of_has_none() -> None:
    plan = next(one for one in plans() if one.name == "justice: mistral-7b")
    assert {planned.price for planned in plan.quantizations[0].types} == {None}


def test_memory_and_rate_are_the_catalogues() -> None:
    subject, plan = subjects()[0], plans()[0]
    ((_, workload),) = subject.workloads
    for planned in plan.quantizations[0].types:
        need = memory_needed(workload, planned.gpu_count)
        assert planned.memory.total == need.weights + need.kv_cache + need.overhead
        instance = load_catalogue().find(planned.instance_type)
        assert instance is not None
        if instance.gpu_memory_bandwidth_gb_s and planned.tokens_per_s_limit:
            expected = instance.gpu_memory_bandwidth_gb_s * 1e9 / workload.weight_bytes
            assert planned.tokens_per_s_limit == pytest.approx(expected, abs=0.1)


def test_quotas_are_a_reason() -> None:
    subject = dataclasses.replace(subjects()[0], quotas={"ml.g4dn.xlarge": 1})
    planned = next(
        one for one in plan_model(subject).quantizations[0].types if one.instance_type == "ml.g4dn.xlarge"
    )
    assert [reason.code for reason in planned.reasons] == ["quota"]


def scaled(subject: Subject, context_length: int) -> Subject:
    return dataclasses.replace(
        subject,
        workloads=tuple(
            (one, dataclasses.replace(workload, context_length=context_length))
            for one, workload in subject.workloads
        ),
    )


def test_where_nothing_fits_the_context_that_would_is_told() -> None:
    subject = next(one for one in subjects() if one.name == "justice: mistral-7b")
    one = plan_model(scaled(subject, 4_194_304)).quantizations[0]
    assert not any(planned.fits for planned in one.types)
    assert one.auto is None
    assert one.shorter_context is not None
    assert "the model was made for 32,768 tokens, not 4,194,304" in one.notes
    shorter = plan_model(scaled(subject, one.shorter_context.context_length)).quantizations[0]
    fitting = {planned.instance_type for planned in shorter.types if planned.fits}
    assert one.shorter_context.instance_type in fitting
    longer = plan_model(scaled(subject, one.shorter_context.context_length + 256)).quantizations[0]
    assert longer.auto is None


def test_an_engine_without_a_container_in_the_region_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = next(one for one in subjects() if one.name == "health: llama3-70b-awq")
    assert plan_model(subject).quantizations[0].notes == ()
    known = load_published_images()
    nowhere = {engine: image.model_copy(update={"accounts": {}}) for engine, image in known.images.items()}
    monkeypatch.setattr(
        engine_images, "load_published_images", lambda: known.model_copy(update={"images": nowhere})
    )
    (note,) = plan_model(subject).quantizations[0].notes
    assert note == "AWS has no container of vllm in ap-southeast-1: name an `image` of your own"


def test_every_engine_of_the_agency_files_can_be_asked_for() -> None:
    assert set(ENGINES) == set(get_args(Engine))


def test_quantisations_come_with_the_cheapest_first_and_at_one_price_the_largest() -> None:
    subject = next(one for one in subjects() if one.name == "health: mistral-7b")
    ((quantization, workload),) = subject.workloads

    def of(size: int, place: str) -> tuple[Quantization, Workload]:
        return (
            dataclasses.replace(quantization, weight_bytes=size, total_bytes=size, place=place),
            dataclasses.replace(workload, weight_bytes=size, total_bytes=size),
        )

    small, middle, large, too_large = (
        of(2 * 10**9, "small"),
        of(4 * 10**9, "middle"),
        of(30 * 10**9, "large"),
        of(10**12, "too large"),
    )
    plan = plan_model(dataclasses.replace(subject, workloads=(too_large, small, large, middle)))
    assert [one.place for one in plan.quantizations] == ["middle", "small", "large", "too large"]


def test_a_region_without_gpus_is_an_error() -> None:
    with pytest.raises(QuantLlmError, match="hosts in mx-central-1"):
        plan_model(dataclasses.replace(subjects()[0], region="mx-central-1"))


def test_wishes_take_the_place_of_the_files_values() -> None:
    wishes = Wishes(region="eu-west-1", context_length=1024, concurrency=2, engine="exllamav2")
    (subject,) = agency_subjects(FIXTURES / "health.yaml", wishes, quiet)
    ((_, workload),) = subject.workloads
    assert (subject.name, subject.region) == ("health: codellama-34b", "eu-west-1")
    assert (workload.context_length, workload.concurrency) == (1024, 2)


def test_no_model_on_an_engine_is_an_error() -> None:
    with pytest.raises(QuantLlmError, match=r"default.yaml: no model runs on vllm"):
        agency_subjects(FIXTURES / "default.yaml", Wishes(engine="vllm"), quiet)


def test_a_plan_is_read_back_as_it_was() -> None:
    plan = Plan(models=plans())
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_an_agency_file_with_a_lock_needs_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert agency_subjects(FIXTURES / "default.yaml", Wishes(), quiet)


def test_a_plan_of_a_locked_agency_imports_nothing_that_talks_to_a_network() -> None:
    path = FIXTURES / "default.yaml"
    code = (
        "import sys; from quant_llm_tools.cli import main; "
        f"main(['plan', {str(path)!r}, '--json']); "
        "print([name for name in ('aws_cdk', 'boto3', 'huggingface_hub') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
