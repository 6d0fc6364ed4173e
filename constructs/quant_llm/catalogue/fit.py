"""Whether an instance type can serve a workload, and everything that is against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quant_llm.agency import Engine
from quant_llm.catalogue.engine_needs import NEEDS, Ami, EngineNeeds, ami_for, dotted
from quant_llm.catalogue.formats import kind_of, least_capability
from quant_llm.catalogue.prices import Price, usd_per_hour
from quant_llm.catalogue.schema import InstanceType
from quant_llm.catalogue.sizing import (
    FILE_SYSTEM_SHARE,
    GB,
    GIB,
    MemoryNeed,
    disk_bytes,
    disk_gb,
    memory_needed,
    usable_bytes,
)
from quant_llm.catalogue.workload import Workload

Code = Literal["region", "engine", "driver", "quota", "memory", "disk"]


@dataclass(frozen=True)
class Reason:
    """One thing against an instance type: its kind, and `text` as it follows `expected` in a message."""

    code: Code
    text: str


@dataclass(frozen=True)
class Fit:
    """What came of assessing one instance type in a region; it fits when there is no reason against it.

    `memory` and `usable` are bytes of one GPU, None without a workload or when the GPU's memory is unknown.
    `ami` is the machine image to ask for; None leaves it to SageMaker, for an image that the agency brings.
    """

    instance: InstanceType
    region: str
    reasons: tuple[Reason, ...]
    price: Price | None
    ami: Ami | None
    memory: MemoryNeed | None = None
    usable: int | None = None

    @property
    def fits(self) -> bool:
        """Whether nothing is against it."""
        return not self.reasons

    @property
    def offer(self) -> str:
        """The type with its price, as messages offer it: `ml.g5.xlarge at $1.408/h`."""
        price = f"at {self.price}" if self.price else f"(price unknown in {self.region})"
        return f"{self.instance.instance_type} {price}"


def assess(workload: Workload, instance: InstanceType, region: str, *, quota: int | None = None) -> Fit:
    """Whether a type can serve a workload in a region; `quota` is how many the account may have."""
    fit = assess_type(
        workload.engine,
        instance,
        region,
        brings_image=workload.brings_image,
        instances=workload.instances,
        quota=quota,
    )
    memory, usable = memory_needed(workload, instance.gpu_count), usable_bytes(instance, workload)
    reasons = [
        *fit.reasons,
        *_format(workload, instance),
        *_split(workload, instance),
        *_memory(instance, memory, usable),
        *_disk(workload, instance),
    ]
    return Fit(instance, region, tuple(reasons), fit.price, fit.ami, memory, usable)


def assess_type(
    engine: Engine,
    instance: InstanceType,
    region: str,
    *,
    brings_image: bool = False,
    instances: int = 1,
    quota: int | None = None,
) -> Fit:
    """The part of `assess` that needs no lock: region, engine, driver and quota."""
    needs = NEEDS[engine]
    ami = None if brings_image else ami_for(needs, instance)
    reasons = [
        *_region(instance, region),
        *(() if brings_image else _image(needs, instance, ami)),
        *_quota(instance, instances, quota),
    ]
    return Fit(instance, region, tuple(reasons), usd_per_hour(instance.instance_type, region), ami)


def _region(instance: InstanceType, region: str) -> list[Reason]:
    if region in instance.hosting_regions:
        return []
    return [Reason("region", f"a type that SageMaker hosts in {region}")]


def _image(needs: EngineNeeds, instance: InstanceType, ami: Ami | None) -> list[Reason]:
    capability = instance.cuda_compute_capability
    if not needs.runs_on(capability):
        text = (
            f"a GPU that {needs.name} runs on, of compute capability {needs.expected}: {instance.gpu_model} "
            f"has {dotted(capability)}"
        )
        return [Reason("engine", text)]
    if ami is None:
        text = (
            f"a GPU whose driver SageMaker has: {needs.name}'s image needs {needs.driver_for(instance)} or "
            f"later on {instance.gpu_model}"
        )
        return [Reason("driver", text)]
    return []


def _quota(instance: InstanceType, instances: int, quota: int | None) -> list[Reason]:
    if quota is None or instances <= quota:
        return []
    text = (
        f"a type of which the account may have {instances}: quotas says {quota} of {instance.instance_type}"
    )
    return [Reason("quota", text)]


def _format(workload: Workload, instance: InstanceType) -> list[Reason]:
    """Kernels of a quantisation that need a newer GPU than the engine itself does."""
    needs, least = NEEDS[workload.engine], least_capability(workload.engine, workload.shape)
    capability = instance.cuda_compute_capability
    # Where the engine itself doesn't run there is nothing to add; of an agency's own image nothing is known.
    if workload.brings_image or least is None or not needs.runs_on(capability) or capability >= least:
        return []
    text = (
        f"a GPU on which {needs.name} runs {kind_of(workload.shape)}, of compute capability "
        f"{dotted(least)} or later: {instance.gpu_model} has {dotted(capability)}"
    )
    return [Reason("engine", text)]


def _split(workload: Workload, instance: InstanceType) -> list[Reason]:
    """An engine that spreads each layer gives every GPU whole heads.

    Attention heads: vllm/config/model.py, verify_with_parallel_config. Keys and values: vLLM repeats heads
    where there are fewer than GPUs (vllm/model_executor/models/llama.py), TGI does not
    (flash_llama_modeling.py of its server).
    """
    if not workload.spreads_layers:
        return []
    gpus = instance.gpu_count
    counts = {
        "attention heads": (workload.shape.attention_heads, False),
        "KV heads": (workload.shape.key_value_heads, workload.engine == "vllm"),
    }
    for name, (heads, repeats) in counts.items():
        if heads % gpus and not (repeats and gpus % heads == 0):
            return [
                Reason("engine", f"a number of GPUs that divides the model's {heads} {name}: it has {gpus}")
            ]
    return []


def _memory(instance: InstanceType, memory: MemoryNeed, usable: int | None) -> list[Reason]:
    if usable is None:
        return [Reason("memory", f"a GPU whose memory is known, not {instance.gpu_model}")]
    if memory.total <= usable:
        return []
    text = f"more GPU memory than the {usable / GIB:.1f} GiB of {instance.gpus}: {memory.arithmetic}"
    return [Reason("memory", text)]


def _disk(workload: Workload, instance: InstanceType) -> list[Reason]:
    needed, room = disk_bytes(workload) / GB, disk_gb(instance) * FILE_SYSTEM_SHARE
    if needed <= room:
        return []
    what = "the archive beside its files" if workload.artifact == "model.tar.gz" else "the files"
    return [Reason("disk", f"a disk of {needed:,.0f} GB, for {what}: it has room for {room:,.0f} GB")]
