"""What is to be served: everything of a model that its memory, disk and speed depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from quant_llm.agency import Artifact, Engine, ModelConfig, ModelLock, ModelShape

WEIGHT_SUFFIXES = (".gguf", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model at a context length and concurrency, on an engine.

    `weight_bytes` are those of the weight files, `total_bytes` those of all files of the artifact. `options`
    are the container's further variables, in the engine's names. `instances` is the most that scaling asks
    for at once. `brings_image`: the agency names an image, of which nothing is known but its engine.
    """

    engine: Engine
    shape: ModelShape
    weight_bytes: int
    total_bytes: int
    context_length: int
    concurrency: int
    artifact: Artifact = "model.tar.gz"
    options: Mapping[str, str] = field(default_factory=dict)
    instances: int = 1
    brings_image: bool = False

    @property
    def spreads_layers(self) -> bool:
        """Whether each layer is spread over all GPUs (tensor parallelism), or each GPU has whole layers."""
        return self.engine in ("vllm", "tgi")

    @classmethod
    def of(cls, model: ModelConfig, lock: ModelLock) -> Workload:
        """The workload of a model of an agency file and its lock."""
        return cls(
            engine=model.engine,
            shape=lock.shape,
            weight_bytes=sum(
                file.size for file in lock.artifact_files if file.path.endswith(WEIGHT_SUFFIXES)
            ),
            total_bytes=lock.total_bytes,
            context_length=model.context_length,
            concurrency=model.concurrency,
            artifact=model.artifact,
            options=model.environment,
            instances=most_instances(model),
            brings_image=model.image is not None,
        )


def most_instances(model: ModelConfig) -> int:
    """The most instances that a model's scaling and its schedule ask for."""
    return max([model.scaling.max, *(entry.max for entry in model.scaling.schedule)])


def option_number(options: Mapping[str, str], name: str, default: float) -> float:
    """The number that an option of the container gives, or the engine's default without one.

    Text that is no number counts as the default: the container refuses it with its own message.
    """
    try:
        value = float(options.get(name, default))
    except ValueError:
        return default
    return value if math.isfinite(value) and value > 0 else default
