"""What each engine's image needs of a machine: the GPUs that it has code for, and the driver of its CUDA.

SageMaker takes the driver with the machine image, `InferenceAmiVersion`. Their drivers and CUDA versions are
those of the API reference (ProductionVariant.InferenceAmiVersion). Without a version SageMaker takes one by
family: driver 470 for g4dn, g5, p4d and p4de (SageMaker developer guide, "Best practices to minimize
interruptions during GPU driver upgrades"), which is too old for any CUDA 12. That driver 580 runs on g4dn,
g5, g6, g6e, p4d, p4de, p5, p5e and p5en is what AWS's own image tables rely on (AutoGluon's, for CUDA 13).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quant_llm.agency import Engine
from quant_llm.catalogue.schema import InstanceType


@dataclass(frozen=True)
class Ami:
    """One value of `InferenceAmiVersion`: its NVIDIA driver (major version) and the newest CUDA of that."""

    name: str
    driver: int
    cuda: tuple[int, int]


AMIS = (
    Ami("al2-ami-sagemaker-inference-gpu-2-1", 535, (12, 2)),
    Ami("al2-ami-sagemaker-inference-gpu-3-1", 550, (12, 4)),
    Ami("al2023-ami-sagemaker-inference-gpu-4-1", 580, (13, 0)),
)
"""The versions for NVIDIA GPUs, oldest driver first. gpu-2 is left out: it is gpu-2-1 with a container
toolkit that puts its own CUDA libraries before the image's."""

BLACKWELL = (10, 0)
BLACKWELL_DRIVER = 570
"""The first driver for Blackwell GPUs, that of CUDA 12.8 (CUDA toolkit release notes, table of drivers)."""


@dataclass(frozen=True)
class EngineNeeds:
    """What an engine's image needs.

    `capabilities` are the compute capabilities that the image has code for; None: all from
    `least_capability` on. `driver` is the oldest driver that its CUDA runs on, for code that is compiled for
    the very GPU (NVIDIA, "CUDA compatibility", minor version compatibility).
    """

    name: str
    least_capability: tuple[int, int]
    driver: int
    capabilities: frozenset[tuple[int, int]] | None = None

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Whether the image has code for GPUs of this compute capability."""
        if self.capabilities is None:
            return capability >= self.least_capability
        return capability in self.capabilities

    @property
    def expected(self) -> str:
        """The compute capabilities in words: `8.0 or later`, `one of 7.5, 8.0`."""
        if self.capabilities is None:
            return f"{dotted(self.least_capability)} or later"
        return "one of " + ", ".join(dotted(one) for one in sorted(self.capabilities))

    def driver_for(self, instance: InstanceType) -> int:
        """The oldest driver that runs this image on a type's GPUs."""
        new = instance.cuda_compute_capability >= BLACKWELL
        return max(self.driver, BLACKWELL_DRIVER if new else 0)


# llama.cpp and ExLlamaV2 are compiled here, for the GPUs in their Dockerfiles' CUDA_ARCHITECTURES, with CUDA
# 12.8, which runs on drivers from 525 on; taken is the newest of the Amazon Linux 2 images nonetheless.
# ExLlamaV2's kernels need Ampere (8.0) at least.
# vLLM: Turing (7.5) at least (vLLM 0.23 documentation, "Installation", GPU). AWS's container has CUDA 13.0
# (the name of its tag), which has drivers from 580 on.
# TGI: its Dockerfile compiles with CUDA 12.4 for 8.0, 8.6 and 9.0; 8.9 runs the code for 8.6. What it has as
# PTX for later GPUs is not the whole: its PyTorch has no code for Blackwell.
NEEDS: Mapping[Engine, EngineNeeds] = {
    "llama.cpp": EngineNeeds(
        "llama.cpp", (7, 5), 550, frozenset({(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (12, 0)})
    ),
    "exllamav2": EngineNeeds("ExLlamaV2", (8, 0), 550, frozenset({(8, 0), (8, 6), (8, 9), (9, 0), (12, 0)})),
    "vllm": EngineNeeds("vLLM", (7, 5), 580),
    "tgi": EngineNeeds("TGI", (8, 0), 550, frozenset({(8, 0), (8, 6), (8, 9), (9, 0)})),
}


def dotted(version: tuple[int, int]) -> str:
    """A version as people write it.

    >>> dotted((8, 6))
    '8.6'
    """
    return f"{version[0]}.{version[1]}"


def ami_for(needs: EngineNeeds, instance: InstanceType) -> Ami | None:
    """The machine image with the oldest driver that runs an engine's image on a type; None when none does."""
    return next((ami for ami in AMIS if ami.driver >= needs.driver_for(instance)), None)
