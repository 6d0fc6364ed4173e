"""What the app knows of each inference engine: how its image is built and how a model is handed to it.

vLLM and TGI have no build: AWS publishes their containers (`quant_llm.catalogue.engine_images`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quant_llm.agency import VLLM_LORA_RANKS, ModelConfig, ModelLock, adapter_path
from quant_llm.catalogue import MEMORY_SHARE, TIMEOUT_BOUNDS, Placement, published_image
from quant_llm.paths import CONTAINER
from quant_llm_quantise.request import METHODS
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

JOB_BUILDS: Mapping[str, EngineBuild] = {
    method: EngineBuild(engine=f"quantise-{method}", folder="quantise", arguments={"METHOD": method})
    for method in METHODS
}
"""The images of quantise jobs, by method; as engines they go by `quantise-<method>`."""

MODEL_FOLDER = "/opt/ml/model"
"""Where SageMaker puts a model's files, from an archive and from a prefix alike."""

ASYNC_SECONDS = 3600
"""The most that SageMaker waits for the answer to an asynchronous request (InvocationTimeoutSeconds)."""

TGI_QUEUE = 1000
"""Requests that TGI takes at a time, as many as LMI by default; it answers 429 to more."""


def existing_image(model: ModelConfig, region: str) -> str | None:
    """The URI of the agency's own image or of AWS's container; None where the stack builds the engine's."""
    published = published_image(model.engine, region)
    return model.image or (published.uri if published else None)


def container_environment(model: ModelConfig, lock: ModelLock, placement: Placement) -> dict[str, str]:
    """What the container is told: which model, and the agency's sizes; the agency's own variables win."""
    return {**_ENVIRONMENTS[model.engine](model, lock, placement), **model.environment}


def _llama_cpp(model: ModelConfig, lock: ModelLock, placement: Placement) -> dict[str, str]:
    """All layers on the GPU. llama.cpp divides its context over its slots, so the whole is their product."""
    del placement  # it takes all GPUs that it finds
    weights = sorted(file.path for file in lock.files if file.path.endswith(".gguf"))
    return {
        names.MODEL: weights[0],  # of a shard set the first; llama.cpp finds the others by name
        names.N_GPU_LAYERS: "999",
        "LLAMA_ARG_CTX_SIZE": str(model.context_length * model.concurrency),
        "LLAMA_ARG_N_PARALLEL": str(model.concurrency),
        **_adapters(model),
    }


def _adapters(model: ModelConfig) -> dict[str, str]:
    """The adapters by the names that requests have for them, and the agency's name for the model without."""
    if not model.adapters:
        return {}
    files = [f"{adapter.name}={adapter_path(adapter.name)}" for adapter in model.adapters]
    return {names.SERVING_LORA: ",".join(files), "LLAMA_ARG_ALIAS": model.name}


def _exllamav2(model: ModelConfig, lock: ModelLock, placement: Placement) -> dict[str, str]:
    """The folder that has the model's configuration. The context length is each request's own."""
    del placement  # it takes all GPUs that it finds
    configured = (Path(file.path).parent for file in lock.files if Path(file.path).name == "config.json")
    return {
        names.MODEL: min(configured, default=Path()).as_posix(),
        exllama_options.CONTEXT_LENGTH: str(model.context_length),
        exllama_options.MAX_BATCH_SIZE: str(model.concurrency),
    }


def _vllm(model: ModelConfig, lock: ModelLock, placement: Placement) -> dict[str, str]:
    """LMI's names: its documentation, "LMI Starting Guide" and "vLLM Engine User Guide".

    vLLM reads the quantisation from config.json, and is slower when it is told. The share of the memory is
    the one that the sizing counts with. LMI by itself gives up on a model after 20 minutes
    (MODEL_LOADING_TIMEOUT in its Dockerfile), less than SageMaker is asked to wait for a large one, and on an
    answer, or a piece of a stream, after 2 minutes (chunked_read_timeout in its ConfigManager.java), which is
    too soon where SageMaker waits for longer than one.
    """
    patience = {"SERVING_CHUNKED_READ_TIMEOUT": str(ASYNC_SECONDS)} if model.is_async else {}
    return {
        **patience,
        "HF_MODEL_ID": MODEL_FOLDER,
        "HF_HUB_OFFLINE": "1",  # or a file that is missing is looked for in a network that isn't there
        "TENSOR_PARALLEL_DEGREE": "max" if placement.gpu_count is None else str(placement.gpu_count),
        "OPTION_MAX_MODEL_LEN": str(model.context_length),
        "OPTION_MAX_ROLLING_BATCH_SIZE": str(model.concurrency),
        "OPTION_GPU_MEMORY_UTILIZATION": f"{MEMORY_SHARE:.2f}",
        "OPTION_MODEL_LOADING_TIMEOUT": str(TIMEOUT_BOUNDS[1]),
        **_lmi_adapters(model, lock),
    }


def _lmi_adapters(model: ModelConfig, lock: ModelLock) -> dict[str, str]:
    """LMI registers each folder under `adapters/` by its name (ModelInfo.java of djl-serving 0.36).

    All of them stay on the GPU, as with llama.cpp: by itself LMI keeps 4 there. The rank is one that vLLM
    takes (MaxLoRARanks in its config/lora.py).
    """
    if not model.adapters:
        return {}
    rank = max(adapter.shape.rank for adapter in lock.adapters.values())
    return {
        "OPTION_ENABLE_LORA": "true",
        "OPTION_MAX_LORAS": str(len(model.adapters)),
        "OPTION_MAX_LORA_RANK": str(min(each for each in VLLM_LORA_RANKS if each >= rank)),
        "OPTION_SERVED_MODEL_NAME": model.name,
    }


def _tgi(model: ModelConfig, lock: ModelLock, placement: Placement) -> dict[str, str]:
    """TGI's names: its documentation, "Text-generation-launcher arguments", and its sagemaker-entrypoint.sh.

    It reads the quantisation from config.json, but not the type of weights that aren't quantised: without
    `DTYPE` most models are cast to FP16 (default_dtype in its server's models/flash_causal_lm.py).
    """
    gpus = {} if placement.gpu_count is None else {"SM_NUM_GPUS": str(placement.gpu_count)}
    dtype = {"DTYPE": "bfloat16"} if lock.shape.quantization == "BF16" else {}
    return {
        "HF_MODEL_ID": MODEL_FOLDER,
        "HF_HUB_OFFLINE": "1",
        **gpus,
        **dtype,
        "MAX_TOTAL_TOKENS": str(model.context_length),
        "MAX_INPUT_TOKENS": str(model.context_length - 1),  # it must be less
        "MAX_BATCH_SIZE": str(model.concurrency),
        "MAX_CONCURRENT_REQUESTS": str(TGI_QUEUE),
        "USAGE_STATS": "off",
    }


_ENVIRONMENTS: Mapping[str, Callable[[ModelConfig, ModelLock, Placement], dict[str, str]]] = {
    LLAMA_CPP.engine: _llama_cpp,
    EXLLAMAV2.engine: _exllamav2,
    "vllm": _vllm,
    "tgi": _tgi,
}
