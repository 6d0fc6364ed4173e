"""GPTQ's checkpoint format, as ExLlamaV2, vLLM and Transformers read it: symmetric, of 4 bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BITS = 4
ZERO = 8
"""The code of a weight of 0."""


def packed(codes: Tensor, scales: Tensor) -> dict[str, Tensor]:
    """The four tensors of a quantised matrix in the checkpoint; zero points are stored less one."""
    inputs, groups = codes.shape[0], scales.shape[0]
    shifts = torch.arange(0, 32, BITS, dtype=torch.int32, device=codes.device)
    zeros = torch.full((groups, scales.shape[1] // len(shifts)), 0x77777777, dtype=torch.int32)
    words = codes.view(-1, len(shifts), codes.shape[1]) << shifts[None, :, None]
    return {
        "qweight": words.sum(1, dtype=torch.int32),
        "qzeros": zeros,
        "scales": scales.half(),
        "g_idx": torch.arange(inputs, dtype=torch.int32) // (inputs // groups),
    }


def quantization_config(group_size: int) -> dict[str, Any]:
    """What config.json says of such a checkpoint."""
    return {
        "quant_method": "gptq",
        "bits": BITS,
        "group_size": group_size,
        "desc_act": False,
        "sym": True,
        "checkpoint_format": "gptq",
    }
