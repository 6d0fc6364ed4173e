"""EXL2 by ExLlamaV2's own converter, which brings its calibration data with it.

The options are those of exllamav2/conversion/convert_exl2.py. It ends with status 0 after most errors, so
the step is done only when the compiled model is there.
"""

from __future__ import annotations

from quant_llm_quantise import exllamav2
from quant_llm_quantise.request import Layout, Request
from quant_llm_quantise.steps import Step

PACKAGES = ("exllamav2", "torch", "safetensors")
"""The Python packages of the tools, whose versions the manifest tells."""

HEAD_BITS = 6
"""Bits a weight of the output layer: the converter's default."""


def steps(request: Request, layout: Layout) -> list[Step]:
    """One command measures, optimises, quantises and compiles; what can't be loaded fails before it."""
    source = exllamav2.source(layout)
    work = layout.work / "exl2"
    command = (
        *("python3", "-m", "exllamav2.conversion.convert_exl2", "-nr"),
        *("-i", str(source), "-o", str(work), "-cf", str(layout.files)),
        *("-b", f"{request.bits:g}", "-hb", str(HEAD_BITS)),
    )
    return [
        exllamav2.prepare(layout),
        *exllamav2.measure(request, layout, "before", source),
        Step(name="convert", command=command, writes=layout.files / "config.json"),
        *exllamav2.measure(request, layout, "after", layout.files),
    ]
