"""What the contract suite starts on a GPU: `CONTRACT_STARTER=benchmarks.gpu.starters:gptq`, and so on.

The models are in the folder that `BENCHMARK_MODELS` names, as `run.sh` makes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.gpu.serving import EXLLAMAV2, LLAMA_CPP, options, start
from tests.container.process import ProcessContainer

_Starter = Callable[[Path, Mapping[str, str]], ProcessContainer]


def _starter(engine: str, model: str) -> _Starter:
    def begin(directory: Path, variables: Mapping[str, str]) -> ProcessContainer:
        path = Path(os.environ["BENCHMARK_MODELS"]) / model
        return start(engine, path, {**options(engine, context=2048, concurrency=4), **variables}, directory)

    return begin


llama_cpp = _starter(LLAMA_CPP, "gguf/q4_1.gguf")
exl2 = _starter(EXLLAMAV2, "exl2")
gptq = _starter(EXLLAMAV2, "gptq")
exl3 = _starter(EXLLAMAV2, "exl3")
