"""What the catalogue holds of each GPU instance type, and where each fact comes from.

`None` means that no source gives the fact: it is shown as unknown, and never guessed.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from ruamel.yaml import YAML

DATA = Path(__file__).with_name("instances.yaml")


def _numbers(value: object) -> object:
    return tuple(int(part) for part in value.split(".")) if isinstance(value, str) else value


Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
ComputeCapability = Annotated[tuple[int, int], BeforeValidator(_numbers)]
"""NVIDIA's compute capability: `(8, 6)` for 8.6."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Frozen):
    """Where facts come from, and when they were true: a date, or as much of one as the source gives."""

    what: str
    as_of: str
    commit: str | None = None


class HostingPrice(_Frozen):
    """SageMaker's on-demand price of hosting, US dollars an hour, from a secondary source."""

    region: str
    usd_per_hour: Positive
    source: str
    as_of: str
    note: str


class ObservedPrice(_Frozen):
    """SageMaker's price of another component (training, Studio, …) or without one."""

    region: str
    component: str
    usd_per_hour: Positive
    as_of: str
    source: str


class Ec2Price(_Frozen):
    """EC2's on-demand price of the type of the same name; its source says of when."""

    region: str
    usd_per_hour: Positive
    source: str


class FactSources(_Frozen):
    """The source of each group of facts, by its name in `Catalogue.sources`."""

    specs: str
    gpu_memory: str | None
    gpu_memory_usable: str | None
    local_storage: str | None
    compute_capability: str
    bandwidth: str | None
    enum: str
    regions: str


class InstanceType(_Frozen):
    """One instance type of SageMaker hosting with NVIDIA GPUs. Memory is that of one GPU of `gpu_count`."""

    instance_type: str
    family: str
    gpu_model: str
    gpu_count: Count
    gpu_memory_gib_each: Positive | None
    gpu_memory_mib_each: Count | None
    gpu_memory_usable_mib_each: Count | None
    cuda_compute_capability: ComputeCapability
    gpu_memory_bandwidth_gb_s: Positive | None
    vcpu: Count
    ram_gib: Positive
    local_storage_gb: Count | None
    source: FactSources
    as_of: str
    in_botocore_enum: bool
    in_optimization_job_enum: bool
    hosting_regions: tuple[str, ...]
    hosting_on_demand: tuple[HostingPrice, ...]
    observed: tuple[ObservedPrice, ...]
    ec2_on_demand: tuple[Ec2Price, ...]
    note: str | None = None

    @property
    def gpus(self) -> str:
        """The GPUs in words: `4 x NVIDIA A10G`."""
        return f"{self.gpu_count} x {self.gpu_model}"


class Catalogue(_Frozen):
    """All instance types, in the order of the file, and the sources of their facts by name."""

    schema_version: Literal[1]
    currency: Literal["USD"]
    compiled: str
    sources: dict[str, Source]
    instances: tuple[InstanceType, ...]

    @model_validator(mode="after")
    def _check_sources(self) -> Catalogue:
        named: set[str | None] = set()
        for one in self.instances:
            named.update(one.source.model_dump().values())
            named.update(price.source for price in one.hosting_on_demand)
            named.update(price.source for price in one.observed)
            named.update(price.source for price in one.ec2_on_demand)
        named.discard(None)
        if missing := sorted(str(name) for name in named - set(self.sources)):
            raise ValueError(f"no source of the name {missing[0]!r}")
        return self

    def find(self, instance_type: str) -> InstanceType | None:
        """The instance type of this name, `ml.g5.xlarge`; None when the catalogue has none."""
        return next((one for one in self.instances if one.instance_type == instance_type), None)

    def hosted_in(self, region: str) -> tuple[InstanceType, ...]:
        """The instance types that SageMaker hosts in a region, in the order of the file."""
        return tuple(one for one in self.instances if region in one.hosting_regions)


@functools.cache
def load_catalogue() -> Catalogue:
    """The catalogue that comes with the package, read once."""
    return Catalogue.model_validate(YAML(typ="safe", pure=True).load(DATA.read_text(encoding="utf-8")))
