"""What the app knows of each inference engine: how its image is built and how a model is handed to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quant_llm.agency import ModelConfig, ModelLock
from quant_llm.paths import CONTAINER
from quant_llm_serving import environment as names
from quant_llm_serving import exllama_options


@dataclass(frozen=True, kw_only=True)
class EngineBuild:
    """How an engine's image is built: its folder under `container/` and the build arguments.

    Which GPUs and drivers the image runs on is in `quant_llm.catalogue.engine_needs`.
    """

    engine: str
    folder: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def dockerfile(self) -> Path:
        """The image's recipe; its context is `container/`."""
        return CONTAINER / self.folder / "Dockerfile"

    @property
    def dockerignore(self) -> Path:
        """What of `container/` is the image's own context, in Docker's words."""
        return self.dockerfile.with_name("Dockerfile.dockerignore")

    @property
    def known_arguments(self) -> frozenset[str]:
        """The names of the Dockerfile's build arguments."""
        return frozenset(re.findall(r"^ARG (\w+)", self.dockerfile.read_text(encoding="utf-8"), re.MULTILINE))


LLAMA_CPP = EngineBuild(engine="llama.cpp", folder="llamacpp")
EXLLAMAV2 = EngineBuild(engine="exllamav2", folder="exllamav2")

BUILDS: Mapping[str, EngineBuild] = {build.engine: build for build in (LLAMA_CPP, EXLLAMAV2)}


def container_environment(model: ModelConfig, lock: ModelLock) -> dict[str, str]:
    """What the container is told: which model, and the agency's sizes; the agency's own variables win."""
    return {**_ENVIRONMENTS[model.engine](model, lock), **model.environment}


def _llama_cpp(model: ModelConfig, lock: ModelLock) -> dict[str, str]:
    """All layers on the GPU. llama.cpp divides its context over its slots, so the whole is their product."""
    weights = sorted(file.path for file in lock.files if file.path.endswith(".gguf"))
    return {
        names.MODEL: weights[0],  # of a shard set the first; llama.cpp finds the others by name
        names.N_GPU_LAYERS: "999",
        "LLAMA_ARG_CTX_SIZE": str(model.context_length * model.concurrency),
        "LLAMA_ARG_N_PARALLEL": str(model.concurrency),
    }


def _exllamav2(model: ModelConfig, lock: ModelLock) -> dict[str, str]:
    """The folder that has the model's configuration. The context length is each request's own."""
    configured = (Path(file.path).parent for file in lock.files if Path(file.path).name == "config.json")
    return {
        names.MODEL: min(configured, default=Path()).as_posix(),
        exllama_options.CONTEXT_LENGTH: str(model.context_length),
        exllama_options.MAX_BATCH_SIZE: str(model.concurrency),
    }


_ENVIRONMENTS: Mapping[str, Callable[[ModelConfig, ModelLock], dict[str, str]]] = {
    LLAMA_CPP.engine: _llama_cpp,
    EXLLAMAV2.engine: _exllamav2,
}
