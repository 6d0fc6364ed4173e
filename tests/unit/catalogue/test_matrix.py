"""Every refusal and every `auto` choice over engines, regions, types and sizes, against an oracle.

The oracle reads the facts' file by itself and has the rules in its own few lines; only the overhead of an
engine is taken from the code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ruamel.yaml import YAML

from quant_llm.agency import Engine
from quant_llm.catalogue import Workload, assess, choose, load_catalogue
from quant_llm.catalogue.overhead import overhead_bytes
from quant_llm.catalogue.schema import DATA
from tests.unit.catalogue.models import SIZES

FACTS: dict[str, dict[str, Any]] = {
    row["instance_type"]: row for row in YAML(typ="safe", pure=True).load(DATA.read_text())["instances"]
}
ENGINES: tuple[Engine, ...] = ("llama.cpp", "exllamav2", "vllm", "tgi")
REGIONS = (
    "us-east-1",
    "us-west-2",
    "ap-southeast-1",
    "eu-central-1",
    "us-gov-west-1",
    "cn-north-1",
    "ap-east-2",
)
COMPILED_FOR = {
    "llama.cpp": {"7.5", "8.0", "8.6", "8.9", "9.0", "12.0"},
    "exllamav2": {"8.0", "8.6", "8.9", "9.0", "12.0"},
    "tgi": {"8.0", "8.6", "8.9", "9.0"},
}
SPREAD = ("vllm", "tgi")
FACTOR = {"g4dn": 1.25, "g5": 1.25, "g6": 1.25, "g6e": 1.25, "g7e": 1.25, "p4d": 1.15, "p5": 1.15}


def oracle_memory(engine: Engine, one: Workload, gpus: int) -> float:
    """Bytes of the fullest GPU, by an own deal of the layers for engines that don't spread every layer."""
    shape = one.shape
    tokens = -(-one.context_length // 256) * 256 * one.concurrency
    cache = 4 * shape.layers * shape.key_value_heads * shape.head_size * tokens
    over = overhead_bytes(one, gpus)
    if gpus == 1:
        return one.weight_bytes + cache + over
    if engine in SPREAD:
        return (
            one.weight_bytes / gpus
            + cache * math.ceil(shape.key_value_heads / gpus) / shape.key_value_heads
            + over
        )
    output = min(
        one.weight_bytes,
        shape.vocabulary_size * shape.embedding_size * max(shape.bits_per_weight, 6.5625) / 8,
    )
    layer = (one.weight_bytes - output + cache) / shape.layers
    most = -(-(shape.layers + 1) // gpus)
    return max(min(most, shape.layers) * layer, (most - 1) * layer + output) + over


def oracle(engine: Engine, one: Workload, name: str, region: str, quota: int | None) -> set[str]:
    """The codes of what is against a type."""
    row, against = FACTS[name], set()
    capability, gpus, mib = row["cuda_compute_capability"], row["gpu_count"], row["gpu_memory_mib_each"]
    if region not in row["hosting_regions"]:
        against.add("region")
    runs = capability in COMPILED_FOR[engine] if engine in COMPILED_FOR else float(capability) >= 7.5
    if not runs and not one.brings_image:
        against.add("engine")
    if engine in SPREAD and one.shape.attention_heads % gpus:
        against.add("engine")
    repeated = engine == "vllm" and gpus % one.shape.key_value_heads == 0
    if engine in SPREAD and one.shape.key_value_heads % gpus and not repeated:
        against.add("engine")
    if quota is not None and one.instances > quota:
        against.add("quota")
    free = None if mib is None else (row["gpu_memory_usable_mib_each"] or mib * 0.97)
    if free is not None and engine in SPREAD:
        free = min(free - 1024, mib * 0.9)
    if free is None or oracle_memory(engine, one, gpus) > free * 2**20:
        against.add("memory")
    copies = 2 if one.artifact == "model.tar.gz" else 1
    if one.total_bytes * copies > (row["local_storage_gb"] or 512) * 0.95e9:
        against.add("disk")
    return against


def oracle_price(name: str, region: str) -> float | None:
    row = FACTS[name]
    for price in row["hosting_on_demand"]:
        if price["region"] == region:
            return float(price["usd_per_hour"])
    for price in row["ec2_on_demand"]:
        if price["region"] == region and row["family"] in FACTOR:
            small = name.endswith(".xlarge") and row["family"] in ("g4dn", "g5", "g6", "g6e")
            return round(float(price["usd_per_hour"]) * (1.40 if small else FACTOR[row["family"]]), 4)
    return next(
        (float(price["usd_per_hour"]) for price in row["observed"] if price["region"] == region), None
    )


def cases() -> Iterator[tuple[Engine, Workload]]:
    for engine in ENGINES:
        for one in SIZES.values():
            yield engine, replace(one, engine=engine)
        yield engine, replace(SIZES["7B, short"], engine=engine, instances=3, brings_image=True)
        yield engine, replace(SIZES["70B, 16 bit"], engine=engine, artifact="s3-prefix")


@pytest.mark.parametrize("region", REGIONS)
def test_every_refusal_is_the_oracles(region: str) -> None:
    refused: set[str] = set()
    for engine, one in cases():
        for instance in load_catalogue().instances:
            for quota in (None, 1, 3):
                fit = assess(one, instance, region, quota=quota)
                found = {reason.code for reason in fit.reasons}
                assert found == oracle(engine, one, instance.instance_type, region, quota), (one, instance)
                assert fit.fits == (not found)
                refused |= found
    assert refused >= {"region", "engine", "quota", "memory", "disk"}


@pytest.mark.parametrize("region", REGIONS)
def test_every_choice_is_the_oracles(region: str) -> None:
    for engine, one in cases():
        for quotas in ({}, {"ml.g4dn.xlarge": 0, "ml.g5.xlarge": 2, "ml.g6.xlarge": 2}):
            fitting = [name for name in FACTS if not oracle(engine, one, name, region, quotas.get(name))]

            def key(name: str) -> tuple[object, ...]:
                price, row = oracle_price(name, region), FACTS[name]
                stand_in = price if price is not None else oracle_price(name, "us-east-1")
                usd = math.inf if stand_in is None else stand_in
                return price is None, usd, row["gpu_count"], row["vcpu"], name

            expected = sorted(fitting, key=key)
            choice = choose(one, region, quotas=quotas)
            found = [fit.instance.instance_type for fit in (choice.chosen, *choice.runners_up) if fit]
            assert found == expected[:3], one
            hosted = {name for name, row in FACTS.items() if region in row["hosting_regions"]}
            assert {fit.instance.instance_type for fit in choice.refused} == hosted - set(fitting)


def test_the_matrix_has_both_choices_and_their_absence() -> None:
    """Else the tests above would compare nothing with nothing."""
    chosen = {region: [choose(one, region).chosen for _, one in cases()] for region in REGIONS}
    assert not any(chosen["ap-east-2"])
    types = {fit.instance.instance_type for found in chosen.values() for fit in found if fit}
    assert len(types) > 8
    assert None in chosen["cn-north-1"]
