"""The plan as data: what `quantllm plan --json` prints, and what the text is made of.

Bytes are counted one by one, memory is that of one GPU (the one that holds the most), prices are US dollars.
null stands for what is unknown.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from quant_llm.agency import Engine


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemoryPlan(_Frozen):
    """What the engine needs of one GPU, and what of the GPU's memory it can have."""

    weights: int
    kv_cache: int
    overhead: int
    total: int
    usable: int | None


class ReasonPlan(_Frozen):
    """One thing against a type; `expected` is what would be needed instead."""

    code: Literal["region", "engine", "driver", "quota", "memory", "disk"]
    expected: str


class MeasuredPlan(_Frozen):
    """A rate that was measured with the same engine, GPU and quantisation on a model of nearly this size."""

    tokens_per_s_least: float
    tokens_per_s_most: float
    model: str
    source: str


class PricePlan(_Frozen):
    """What one instance costs; `basis` "estimate" is one."""

    usd_per_hour: float
    usd_per_month_at_min: float
    usd_per_month_at_max: float
    basis: Literal["price list", "published", "estimate"]
    as_of: str
    note: str


class TypePlan(_Frozen):
    """One instance type. `tokens_per_s_limit` is an estimate: what memory bandwidth allows one request."""

    instance_type: str
    gpu_model: str
    gpu_count: int
    fits: bool
    reasons: tuple[ReasonPlan, ...]
    memory: MemoryPlan
    tokens_per_s_limit: float | None
    measured: MeasuredPlan | None
    price: PricePlan | None


class ShorterContext(_Frozen):
    """The longest context that would fit somewhere in the region, and the cheapest type for it."""

    instance_type: str
    context_length: int


class QuantizationPlan(_Frozen):
    """One quantisation on one engine. `types` are all of the region: what fits first, the cheapest first, and
    where a price is unknown the one of us-east-1 decides. `auto` is what `instance_type: auto` takes, which
    prefers known prices.

    `files` is what `source.files` must be; empty when its default does. `place` is a file, a shard set, a
    folder of the repository, or "" for its root.
    """

    quantization: str
    engine: Engine
    files: tuple[str, ...]
    place: str
    bits_per_weight: float
    parameters: int
    weight_bytes: int
    total_bytes: int
    notes: tuple[str, ...]
    auto: str | None
    shorter_context: ShorterContext | None
    types: tuple[TypePlan, ...]


class LeftOutPlan(_Frozen):
    """Weights of the repository that can't be planned for."""

    name: str
    reason: str


class AdvicePlan(_Frozen):
    """Least bits a weight for the model's size; null where what was measured tells nothing."""

    bits_without_loss: int
    bits_with_2_to_3_percent_loss: int | None
    because: str
    source: str


class ModelPlan(_Frozen):
    """A model of an agency file, or a repository. `asked` is the file's instance type; null for a repository.

    `quantizations` come with the one first that fits the cheapest type; at one price the larger.
    """

    name: str
    repository: str
    revision: str
    commit: str
    region: str
    context_length: int
    concurrency: int
    least_instances: int
    most_instances: int
    asked: str | None
    advice: AdvicePlan
    quantizations: tuple[QuantizationPlan, ...]
    left_out: tuple[LeftOutPlan, ...]


class Plan(_Frozen):
    """Everything that was planned."""

    schema_version: Literal[1] = 1
    models: tuple[ModelPlan, ...]
