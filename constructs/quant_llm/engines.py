"""What the app knows of each inference engine: how its image is built and how a model is handed to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quant_llm.agency import ModelConfig, ModelLock
from quant_llm_serving import environment as names


@dataclass(frozen=True, kw_only=True)
class EngineBuild:
    """How an engine's image is built: its folder under `container/` and the build arguments."""

    engine: str
    folder: str
    arguments: Mapping[str, str] = field(default_factory=dict)


LLAMA_CPP = EngineBuild(engine="llama.cpp", folder="llamacpp")

BUILDS: Mapping[str, EngineBuild] = {build.engine: build for build in (LLAMA_CPP,)}


def container_environment(model: ModelConfig, lock: ModelLock) -> dict[str, str]:
    """What the container is told: the model's file, all layers on the GPU, and the agency's sizes.

    llama.cpp divides its context over its slots, so the whole is `context_length` x `concurrency` tokens.
    """
    weights = sorted(file.path for file in lock.files if file.path.endswith(".gguf"))
    return {
        names.MODEL: weights[0],  # of a shard set the first; llama.cpp finds the others by name
        names.N_GPU_LAYERS: "999",
        "LLAMA_ARG_CTX_SIZE": str(model.context_length * model.concurrency),
        "LLAMA_ARG_N_PARALLEL": str(model.concurrency),
        **model.environment,
    }
