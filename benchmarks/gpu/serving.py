"""Containers on this machine's GPU: the real entrypoint as a process, in front of the real engine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.container.process import ProcessContainer

LLAMA_CPP = "llama.cpp"
EXLLAMAV2 = "exllamav2"

_LOAD_SECONDS = 120.0


@dataclass(frozen=True)
class Running:
    """A healthy container, and the Unix socket between its adapter and its engine."""

    container: ProcessContainer
    engine_socket: Path


def start(engine: str, model: Path, variables: Mapping[str, str], directory: Path) -> ProcessContainer:
    """Start `engine` with `model`, a GGUF file or a directory, and wait for nothing."""
    variables = {"SM_MODEL_DIR": str(model.parent), "MODEL": model.name, **variables}
    return ProcessContainer(directory, variables, engine=engine)


@contextmanager
def serving(engine: str, model: Path, variables: Mapping[str, str]) -> Iterator[Running]:
    """A healthy container with `variables` in its environment."""
    with tempfile.TemporaryDirectory(prefix="gpu-") as scratch:
        sockets = Path(scratch) / "t"
        sockets.mkdir()
        container = start(engine, model, {"TMPDIR": str(sockets), **variables}, Path(scratch))
        try:
            container.until_healthy(_LOAD_SECONDS)
            (socket,) = sockets.glob("*/engine.sock")
            yield Running(container, socket)
        finally:
            if log := os.environ.get("BENCHMARK_LOGS"):
                with Path(log).open("a", encoding="utf-8") as kept:
                    kept.write(f"### {engine} {model} {dict(variables)}\n{container.log}\n")
            container.kill()


def options(engine: str, *, context: int, concurrency: int, kv_cache: str = "f16") -> dict[str, str]:
    """The environment for `concurrency` requests of `context` tokens each.

    `kv_cache` is f16, q8_0 or q4_0.
    """
    if engine == LLAMA_CPP:
        return {
            "N_GPU_LAYERS": "999",
            "LLAMA_ARG_CTX_SIZE": str(context * concurrency),
            "LLAMA_ARG_N_PARALLEL": str(concurrency),
            "LLAMA_ARG_CACHE_RAM": "0",  # no copies of earlier prompts: each prompt here is a new one
            "LLAMA_ARG_CACHE_TYPE_K": kv_cache,
            "LLAMA_ARG_CACHE_TYPE_V": kv_cache,
        }
    return {
        "EXLLAMA_CONTEXT_LENGTH": str(context),
        "EXLLAMA_MAX_BATCH_SIZE": str(concurrency),
        "EXLLAMA_CACHE_MODE": {"f16": "FP16", "q8_0": "Q8", "q4_0": "Q4"}[kv_cache],
    }
