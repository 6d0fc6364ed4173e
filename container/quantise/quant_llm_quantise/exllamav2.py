"""What EXL2 and GPTQ have in common: a source that ExLlamaV2 reads, and perplexities taken by it."""

from __future__ import annotations

import re
from pathlib import Path

from quant_llm_quantise.request import Layout, Request
from quant_llm_quantise.steps import Step

_PROGRAMS = "quant_llm_quantise.programs"
_PERPLEXITY = re.compile(r"^perplexity: (\d+(?:\.\d+)?)$")


def program(name: str, *arguments: object) -> tuple[str, ...]:
    """The command of a program of this package."""
    return ("python3", "-m", f"{_PROGRAMS}.{name}", *map(str, arguments))


def source(layout: Layout) -> Path:
    """Where `prepare` leaves the unquantised weights for ExLlamaV2."""
    return layout.work / "source"


def prepare(layout: Layout) -> Step:
    """The step that makes `source`."""
    command = program("exllamav2_source", layout.source, source(layout))
    return Step(name="prepare", command=command, writes=source(layout) / "config.json")


def measure(request: Request, layout: Layout, when: str, folder: Path) -> list[Step]:
    """The step that takes the perplexity of `folder`, if it is asked for."""
    if request.evaluation_sha256 is None:
        return []
    command = program("exllamav2_perplexity", folder, layout.text(request.evaluation_sha256))
    return [Step(name=f"perplexity {when}", command=command, perplexity=when, reads=_PERPLEXITY)]
