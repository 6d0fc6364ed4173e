"""The words of a refusal: what is against a type, with the arithmetic."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from quant_llm.agency import Engine
from quant_llm.catalogue import NEEDS, InstanceType, Workload, ami_for, assess, engine_needs, load_catalogue
from quant_llm.paths import CONTAINER
from tests.unit.catalogue.models import SIZES, shape, workload


def find(instance_type: str) -> InstanceType:
    found = load_catalogue().find(instance_type)
    assert found is not None
    return found


def reasons(
    one: Workload, instance_type: str, region: str = "us-east-1", quota: int | None = None
) -> list[str]:
    return [reason.text for reason in assess(one, find(instance_type), region, quota=quota).reasons]


def test_what_fits_has_a_price_an_image_and_no_reason() -> None:
    fit = assess(workload(), find("ml.g5.xlarge"), "us-east-1")
    assert fit.fits
    assert fit.offer == "ml.g5.xlarge at $1.408/h"
    assert fit.ami is not None
    assert fit.ami.name == "al2-ami-sagemaker-inference-gpu-3-1"
    unknown = assess(workload(), find("ml.g5.xlarge"), "ap-southeast-1")
    assert unknown.offer == "ml.g5.xlarge (price unknown in ap-southeast-1)"


@pytest.mark.parametrize(
    ("one", "instance_type", "text"),
    [
        (workload(), "ml.p5e.48xlarge", "a type that SageMaker hosts in us-east-1"),
        (
            workload("exllamav2"),
            "ml.g4dn.xlarge",
            "a GPU that ExLlamaV2 runs on, of compute capability one of 8.0, 8.6, 8.9, 9.0, 12.0: "
            "NVIDIA T4 has 7.5",
        ),
        (
            workload(),
            "ml.p6-b200.48xlarge",
            "a GPU that llama.cpp runs on, of compute capability one of 7.5, 8.0, 8.6, 8.9, 9.0, 12.0: "
            "NVIDIA B200 has 10.0",
        ),
        (
            workload("vllm", of=shape(attention_heads=30)),
            "ml.g5.12xlarge",
            "a number of GPUs that divides the model's 30 attention heads: it has 4",
        ),
        (
            workload(total_bytes=60 * 10**9),
            "ml.g4dn.xlarge",
            "a disk of 120 GB, for the archive beside its files: it has room for 119 GB",
        ),
        (
            workload(total_bytes=120 * 10**9, artifact="s3-prefix"),
            "ml.g4dn.xlarge",
            "a disk of 120 GB, for the files: it has room for 119 GB",
        ),
    ],
)
def test_a_reason_says_what_it_takes(one: Workload, instance_type: str, text: str) -> None:
    assert reasons(one, instance_type) == [text]


def test_too_little_memory_shows_the_sum() -> None:
    (text,) = reasons(SIZES["7B, 16 bit"], "ml.g4dn.xlarge")
    assert text.startswith(
        "more GPU memory than the 14.6 GiB of 1 x NVIDIA T4: weights 13.5 + KV cache 0.5 + "
    )
    assert text.endswith(" GiB")


def test_a_quota_counts_the_instances_at_once() -> None:
    one = workload(instances=3)
    assert reasons(one, "ml.g5.xlarge", quota=3) == []
    assert reasons(one, "ml.g5.xlarge", quota=2) == [
        "a type of which the account may have 3: quotas says 2 of ml.g5.xlarge"
    ]


def test_an_image_of_the_agencys_own_is_not_judged_and_gets_no_ami() -> None:
    fit = assess(workload("exllamav2", brings_image=True), find("ml.g4dn.xlarge"), "us-east-1")
    assert fit.fits
    assert fit.ami is None


def test_every_reason_is_told_at_once() -> None:
    one = replace(SIZES["70B, 16 bit"], engine="exllamav2")
    codes = [reason.code for reason in assess(one, find("ml.g4dn.xlarge"), "eu-south-2").reasons]
    assert codes == ["region", "engine", "memory", "disk"]


@pytest.mark.parametrize(
    ("engine", "instance_type", "ami"),
    [
        ("llama.cpp", "ml.g4dn.xlarge", "al2-ami-sagemaker-inference-gpu-3-1"),
        ("llama.cpp", "ml.p5.48xlarge", "al2-ami-sagemaker-inference-gpu-3-1"),
        ("llama.cpp", "ml.g7e.2xlarge", "al2023-ami-sagemaker-inference-gpu-4-1"),
        ("exllamav2", "ml.g5.xlarge", "al2-ami-sagemaker-inference-gpu-3-1"),
        ("vllm", "ml.g5.xlarge", "al2023-ami-sagemaker-inference-gpu-4-1"),
    ],
)
def test_the_image_with_the_oldest_driver_that_is_new_enough_is_taken(
    engine: Engine, instance_type: str, ami: str
) -> None:
    found = ami_for(NEEDS[engine], find(instance_type))
    assert found is not None
    assert found.name == ami


def test_cuda_that_no_driver_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_needs, "AMIS", engine_needs.AMIS[:1])  # driver 535
    assert reasons(workload(), "ml.g5.xlarge") == [
        "a GPU whose driver SageMaker has: llama.cpp's image needs 550 or later on NVIDIA A10G"
    ]


def test_the_ami_versions_are_those_that_the_api_takes() -> None:
    from botocore.loaders import Loader

    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    known = shapes["ProductionVariantInferenceAmiVersion"]["enum"]
    assert {ami.name for ami in engine_needs.AMIS} <= set(known)
    assert [ami.driver for ami in engine_needs.AMIS] == sorted(ami.driver for ami in engine_needs.AMIS)


@pytest.mark.parametrize("engine", ["llama.cpp", "exllamav2"])
def test_the_compute_capabilities_are_those_that_the_image_is_compiled_for(engine: Engine) -> None:
    text = (CONTAINER / engine.replace(".", "") / "Dockerfile").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("ARG CUDA_ARCHITECTURES=")]
    numbers = [re.sub(r"\D", "", part) for part in line.split('"')[1].split(";")]
    compiled_for = frozenset((int(number[:-1]), int(number[-1])) for number in numbers)
    assert NEEDS[engine].capabilities == compiled_for


def test_cuda_13_or_later_would_need_a_newer_driver() -> None:
    """The drivers above hold for the CUDA 12 that the images are built with."""
    for folder in ("llamacpp", "exllamav2"):
        text = (CONTAINER / folder / "Dockerfile").read_text()
        assert re.search(r"^ARG BUILD_IMAGE=\S*cuda:12\.", text, re.MULTILINE), folder
