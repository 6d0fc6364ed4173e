"""The facts of the catalogue: every price has a date and a basis, every type a GPU that there is."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from quant_llm.agency.aws_names import hosting_instance_types, regions
from quant_llm.catalogue import InstanceType, load_catalogue
from quant_llm.catalogue.schema import DATA, Catalogue

INSTANCES = load_catalogue().instances
DATE = re.compile(r"20\d\d(-\d\d(-\d\d)?)?( \(\w+( [\d.]+)?\))?|undated( copy)?")

# Compute capability, and memory in MiB between the data sheet's GB of 10^9 bytes and GiB.
GPUS = {
    "NVIDIA V100 16GB": ((7, 0), 16),
    "NVIDIA T4": ((7, 5), 16),
    "NVIDIA A10G": ((8, 6), 24),
    "NVIDIA L4": ((8, 9), 24),
    "NVIDIA L40S": ((8, 9), 48),
    "NVIDIA A100 40GB": ((8, 0), 40),
    "NVIDIA A100 80GB": ((8, 0), 80),
    "NVIDIA H100 80GB": ((9, 0), 80),
    "NVIDIA H200": ((9, 0), 141),
    "NVIDIA B200": ((10, 0), 192),
    "NVIDIA GB200": ((10, 0), 192),
    "NVIDIA B300": ((10, 3), 288),
    "NVIDIA RTX PRO 4500 Blackwell Server Edition": ((12, 0), 32),
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": ((12, 0), 96),
}


def each(instances: tuple[InstanceType, ...] = INSTANCES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("instance", instances, ids=lambda one: one.instance_type)


def test_there_are_types_and_each_once() -> None:
    names = [one.instance_type for one in INSTANCES]
    assert len(names) == len(set(names)) > 50


@each()
def test_a_type_has_gpus_that_there_are(instance: InstanceType) -> None:
    capability, data_sheet_gb = GPUS[instance.gpu_model]
    assert instance.cuda_compute_capability == capability
    assert instance.gpu_count in (1, 2, 4, 8)
    memory = instance.gpu_memory_mib_each
    if memory is not None:
        assert 0.88 * data_sheet_gb * 1024 <= memory <= data_sheet_gb * 1024
    usable = instance.gpu_memory_usable_mib_each
    if memory is not None and usable is not None:
        assert 0.85 * memory < usable < memory


@each()
def test_a_type_is_one_that_sagemaker_takes_in_regions_that_there_are(instance: InstanceType) -> None:
    assert instance.instance_type in hosting_instance_types()
    assert instance.instance_type.split(".")[1] == instance.family
    assert set(instance.hosting_regions) <= set(regions())
    assert list(instance.hosting_regions) == sorted(set(instance.hosting_regions))


@each()
def test_every_price_has_a_date_and_a_basis(instance: InstanceType) -> None:
    sources = load_catalogue().sources
    for hosting in instance.hosting_on_demand:
        assert DATE.fullmatch(hosting.as_of), hosting
        assert hosting.source in sources
        assert hosting.note
    for observed in instance.observed:
        assert DATE.fullmatch(observed.as_of), observed
        assert observed.source in sources
    for ec2 in instance.ec2_on_demand:
        assert DATE.fullmatch(sources[ec2.source].as_of)
    priced = [price.region for price in instance.hosting_on_demand]
    assert len(priced) == len(set(priced))


@each(tuple(one for one in INSTANCES if one.hosting_on_demand))
def test_hosting_costs_more_than_ec2_and_less_than_twice_as_much(instance: InstanceType) -> None:
    ec2 = {price.region: price.usd_per_hour for price in instance.ec2_on_demand}
    for hosting in instance.hosting_on_demand:
        assert 1 < hosting.usd_per_hour / ec2[hosting.region] < 2


@each(tuple(one for one in INSTANCES if one.hosting_regions))
def test_what_sizing_needs_is_known_of_every_hosted_type(instance: InstanceType) -> None:
    assert None not in (
        instance.gpu_memory_mib_each,
        instance.gpu_memory_bandwidth_gb_s,
        instance.local_storage_gb,
    )


@each()
def test_a_known_fact_names_its_source_and_an_unknown_one_does_not(instance: InstanceType) -> None:
    facts = {
        "gpu_memory": instance.gpu_memory_mib_each,
        "gpu_memory_usable": instance.gpu_memory_usable_mib_each,
        "local_storage": instance.local_storage_gb,
        "bandwidth": instance.gpu_memory_bandwidth_gb_s,
    }
    for name, fact in facts.items():
        assert (getattr(instance.source, name) is None) == (fact is None), name


def test_every_source_says_what_it_is_and_of_when() -> None:
    for name, source in load_catalogue().sources.items():
        assert source.what, name
        assert DATE.fullmatch(source.as_of), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpu_count": 0}, "greater than 0"),
        ({"gpu_cuont": 1}, "Extra inputs"),
        ({"hosting_on_demand": [{"region": "us-east-1", "usd_per_hour": 1.0}]}, "Field required"),
        ({"ec2_on_demand": [{"region": "us-east-1", "usd_per_hour": 1.0, "source": "hearsay"}]}, "'hearsay'"),
    ],
)
def test_a_wrong_fact_is_refused(change: dict[str, object], message: str) -> None:
    data = YAML(typ="safe", pure=True).load(DATA.read_text())
    data["instances"][3].update(change)
    with pytest.raises(ValidationError, match=message):
        Catalogue.model_validate(data)


def test_a_type_is_found_by_name_and_region() -> None:
    catalogue = load_catalogue()
    found = catalogue.find("ml.g5.12xlarge")
    assert found is not None
    assert found.gpus == "4 x NVIDIA A10G"
    assert catalogue.find("ml.m5.xlarge") is None
    families = {one.family for one in catalogue.hosted_in("ap-southeast-1")}
    assert families == {"g4dn", "g5", "p4d"}
