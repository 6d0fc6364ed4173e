"""How many bits a weight should have, by the size of the model, and where that advice comes from.

Losses were measured on Llama 3 at 8B and 70B, and nothing else is said here than what follows from these
two: 8 bits are nearly lossless at both; 4 bits (AWQ) cost about 2 % at 8B and 0.05 % at 70B; 3 bits (AWQ)
about 2.7 % at 70B; below 4 bits small models degrade badly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SOURCE = "Llama 3 at 8B and 70B, Huang et al., arXiv 2404.14047"

_BILLION = 10**9
_NAMED = {"F32": 32, "F16": 16, "BF16": 16, "FP8": 8, "MXFP4_MOE": 4, "NVFP4": 4}
_BITS = re.compile(r"I?Q(\d)_|TQ(\d)_|EXL2-([\d.]+)bpw|[A-Z]+-(\d)bit")


@dataclass(frozen=True)
class Advice:
    """The least bits a weight: without loss, and for one that accepts 2 to 3 %; None where nothing tells."""

    without_loss: int
    with_some_loss: int | None
    because: str


def advice(parameters: int) -> Advice:
    """The advice for a model of so many parameters, conservative where it lies between what was measured."""
    if parameters < 6.5 * _BILLION:
        return Advice(
            8, None, "smaller than the 8B that was measured: expect more loss at 4 bits than its 2 %"
        )
    if parameters < 10 * _BILLION:
        return Advice(8, 4, "4 bits cost an 8B model about 2 %; below 4 bits small models degrade badly")
    if parameters < 60 * _BILLION:
        return Advice(8, 4, "4 bits cost about 2 % at 8B and 0.05 % at 70B: in between, less than 2 %")
    return Advice(4, 3, "4 bits cost a 70B model about 0.05 %, 3 bits about 2.7 %")


def nominal_bits(quantization: str) -> float | None:
    """The bits that a quantisation has in its name: 4 of `Q4_K_M`; None when it has none.

    >>> nominal_bits("EXL2-4.0bpw")
    4.0
    """
    if quantization in _NAMED:
        return _NAMED[quantization]
    found = _BITS.match(quantization)
    return float(next(filter(None, found.groups()))) if found else None
