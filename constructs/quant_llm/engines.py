"""What the app knows of each inference engine: how its image is built and how a model is handed to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quant_llm.agency import ModelConfig, ModelLock
from quant_llm_serving import environment as names


@dataclass(frozen=True, kw_only=True)
class EngineBuild:
    """How an engine's image is built: its folder under `container/` and the build arguments.

    `ami` is the SageMaker AMI whose driver runs the image's CUDA. The default one of older types does not.
    """

    engine: str
    folder: str
    ami: str
    arguments: Mapping[str, str] = field(default_factory=dict)

    def ami_for(self, instance_type: str) -> str:
        """The AMI version for an instance type, `ml.g5.xlarge`; Blackwell needs the newest driver."""
        family = instance_type.split(".")[1]
        return _BLACKWELL_AMI if family in _BLACKWELL_FAMILIES else self.ami


# Drivers by AWS's documentation, SageMaker developer guide, "GPU drivers": gpu-3-1 has 550, gpu-4-1 has 580.
_BLACKWELL_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
_BLACKWELL_FAMILIES = ("g7", "g7e", "p6-b200", "p6-b300")

LLAMA_CPP = EngineBuild(engine="llama.cpp", folder="llamacpp", ami="al2-ami-sagemaker-inference-gpu-3-1")

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
