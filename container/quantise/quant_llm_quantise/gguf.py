"""GGUF by llama.cpp's own tools: convert, calibrate where a text is given, quantise, and measure.

The options are those of the tools' README files at b11549: `tools/quantize`, `tools/imatrix`,
`tools/perplexity`.
"""

from __future__ import annotations

import re

from quant_llm_quantise.request import Layout, Request
from quant_llm_quantise.steps import Step

PACKAGES = ("transformers", "torch")
"""The Python packages of the tools, whose versions the manifest tells; gguf is llama.cpp's own."""

_PERPLEXITY = re.compile(r"Final estimate: PPL = (\d+(?:\.\d+)?)")


def steps(request: Request, layout: Layout) -> list[Step]:
    """The commands that make the request's type; the result is one file, `<name>-<type>.gguf`."""
    whole = layout.work / "unquantised.gguf"
    quantised = layout.files / f"{request.name}-{request.type}.gguf"
    convert = ("convert_hf_to_gguf.py", str(layout.source), "--outfile", str(whole), "--outtype", "auto")
    found = [Step(name="convert", command=convert, writes=whole)]
    matrix: tuple[str, ...] = ()
    if request.calibration_sha256 is not None:
        importance = layout.work / "imatrix.gguf"
        text = layout.text(request.calibration_sha256)
        command = ("llama-imatrix", "-m", str(whole), "-f", str(text), "-o", str(importance))
        found.append(Step(name="calibrate", command=command, writes=importance))
        matrix = ("--imatrix", str(importance))
    quantise = ("llama-quantize", *matrix, str(whole), str(quantised), str(request.type))
    found.append(Step(name="quantise", command=quantise, writes=quantised))
    if request.evaluation_sha256 is not None:
        text = layout.text(request.evaluation_sha256)
        for when, model in (("before", whole), ("after", quantised)):
            measure = ("llama-perplexity", "-m", str(model), "-f", str(text))
            found.append(Step(name=f"perplexity {when}", command=measure, perplexity=when, reads=_PERPLEXITY))
    return found
