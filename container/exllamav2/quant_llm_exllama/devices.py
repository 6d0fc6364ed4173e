"""Whether the GPUs can run the engines at all. Torch is loaded here, and nothing that needs a GPU to load."""

from __future__ import annotations

import torch

from quant_llm_serving.errors import ConfigurationError, EngineError

LOWEST_CAPABILITY = (8, 0)
"""Ampere. The kernels of both engines use its instructions; older GPUs compute nonsense or nothing."""


def check_gpus() -> None:
    """Raises EngineError if there is no GPU, and ConfigurationError for one that is too old."""
    if not torch.cuda.is_available():
        raise EngineError(
            "no NVIDIA GPU that CUDA can use, expected at least one (ExLlama has no CPU kernels)"
        )
    for index in range(torch.cuda.device_count()):
        name, capability = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
        if capability < LOWEST_CAPABILITY:
            raise ConfigurationError(
                f"the GPU {name} has compute capability {_text(capability)}, and ExLlama needs "
                f"{_text(LOWEST_CAPABILITY)} or newer (A100, A10G, L4, L40S, H100): llama.cpp runs on it"
            )


def _text(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
