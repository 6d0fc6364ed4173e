"""GPTQ in 4 bits by GPTQModel, calibrated on the recipe's text."""

from __future__ import annotations

from quant_llm_quantise import exllamav2
from quant_llm_quantise.request import Layout, Request
from quant_llm_quantise.steps import Step

PACKAGES = ("gptqmodel", "exllamav2", "torch", "transformers", "safetensors")
"""The Python packages of the tools, whose versions the manifest tells."""


def steps(request: Request, layout: Layout) -> list[Step]:
    """GPTQModel quantises layer by layer; ExLlamaV2 measures, so it has read what it is to serve."""
    source = exllamav2.source(layout)
    options = {
        "--text": layout.text(str(request.calibration_sha256)),
        "--group-size": request.group_size,
        "--seed": request.seed,
        "--work": layout.work / "gptq",
    }
    flags = [word for option in options.items() for word in option]
    return [
        exllamav2.prepare(layout),
        *exllamav2.measure(request, layout, "before", source),
        Step(
            name="quantise",
            command=exllamav2.program("gptq", source, layout.files, *flags),
            writes=layout.files / "config.json",
        ),
        *exllamav2.measure(request, layout, "after", layout.files),
    ]
