"""GPU memory of the engines at full contexts: `python3 -m benchmarks.gpu.memory <models> <results>`.

Each case starts the container on a model of random weights, fills every request's whole context, and tells
the most that the driver says the container's processes had in use, CUDA's own part included.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pynvml
from gguf import GGMLQuantizationType as GgmlType
from gguf import GGUFReader
from safetensors import safe_open

from benchmarks.gpu.machine import gpu_machine
from benchmarks.gpu.random_models import SHAPES, Shape, write_gguf, write_gptq
from benchmarks.gpu.serving import EXLLAMAV2, LLAMA_CPP, Running, options, serving

_MIB = 1 << 20
_MODELS = ("TinyLlama-1.1B", "CodeLlama-7B", "Llama-3.1-8B")
_POLL_SECONDS = 0.02
_ANSWER_TOKENS = 16
_WHOLE_GPU = "memory of the whole GPU beyond what was in use before, by NVML"
_PROCESSES = "memory of the container's processes, by NVML"


@dataclass(frozen=True, kw_only=True)
class Case:
    """`context` tokens for each of `concurrency` requests; `kv_cache` is f16, q8_0 or q4_0."""

    engine: str
    shape: Shape
    quantisation: str
    context: int
    concurrency: int
    kv_cache: str


def cases(engine: str) -> Iterator[Case]:
    """Each shape with two contexts, one request and several, and a quantised cache; one of 8-bit weights."""
    quantisation = "Q4_0" if engine == LLAMA_CPP else "GPTQ-4bit-128g"
    caches = ((2048, 4, "f16"), (16384, 1, "f16"), (8192, 4, "f16"), (8192, 4, "q8_0"))
    for shape, (context, concurrency, kv_cache) in product((SHAPES[name] for name in _MODELS), caches):
        yield Case(
            engine=engine,
            shape=shape,
            quantisation=quantisation,
            context=context,
            concurrency=concurrency,
            kv_cache=kv_cache,
        )
    if engine == LLAMA_CPP:
        yield Case(
            engine=engine,
            shape=SHAPES["Llama-3.1-8B"],
            quantisation="Q8_0",
            context=8192,
            concurrency=4,
            kv_cache="f16",
        )


def measure(case: Case, models: Path, *, alone: bool) -> dict[str, Any]:
    """Run `case`, and return it with what was measured, in MiB."""
    model = _model(case, models)
    variables = options(
        case.engine, context=case.context, concurrency=case.concurrency, kv_cache=case.kv_cache
    )
    with polled(alone=alone) as use, serving(case.engine, model, variables) as running:
        use.group = running.container.pid
        use.mark("loaded_mib")
        _fill(running, case)
        use.mark("filled_mib")
    on_disk, embedding = weight_bytes(model)
    return {
        **asdict(case),
        "head_size": case.shape.head_size,
        "variables": variables,
        "weights_mib": round(on_disk / _MIB, 1),
        "of_that_embedding_mib": round(embedding / _MIB, 1),
        **use.marks,
        "peak_mib": use.peak,
    }


def _model(case: Case, models: Path) -> Path:
    """The model of `case`, written if it isn't there."""
    if case.engine == LLAMA_CPP:
        file = models / "gguf" / f"{case.shape.name}.{case.quantisation}.gguf"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_gguf(case.shape, file, GgmlType[case.quantisation])
        return file
    directory = models / f"{case.shape.name}.gptq"
    if not directory.exists():
        write_gptq(case.shape, directory)
    return directory


def weight_bytes(model: Path) -> tuple[int, int]:
    """Bytes of all tensors, and of the input embedding, which both engines keep in main memory."""
    if model.is_file():
        sizes = {tensor.name: int(tensor.n_bytes) for tensor in GGUFReader(model).tensors}
        return sum(sizes.values()), sizes["token_embd.weight"]
    with safe_open(model / "model.safetensors", "pt") as file:
        tensors = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it can't be iterated
        widths = {"I32": 4, "F16": 2, "I16": 2}
        sizes = {}
        for name, tensor in tensors.items():
            sizes[name] = widths[tensor.get_dtype()]
            for length in tensor.get_shape():
                sizes[name] *= length
    return sum(sizes.values()), sizes["model.embed_tokens.weight"]


def _fill(running: Running, case: Case) -> None:
    """As many requests at once as there is room for, each with a prompt that fills its context."""
    length = case.context - _ANSWER_TOKENS - 4

    def ask(number: int) -> int:
        prompt = (chr(ord("a") + number) + "bcdefghij klmnopqr stuvwxyz" * (length // 27 + 1))[:length]
        body = {"prompt": prompt, "max_tokens": _ANSWER_TOKENS, "temperature": 0, "ignore_eos": True}
        status, answer = running.container.request("POST", "/v1/completions", body)
        if status != 200:
            raise RuntimeError(f"{case.engine} answered {status}: {answer}")
        return int(answer["usage"]["prompt_tokens"])

    with ThreadPoolExecutor(case.concurrency) as pool:
        lengths = list(pool.map(ask, range(case.concurrency)))
    if min(lengths) < length:
        raise RuntimeError(f"prompts of {length} tokens were wanted, got {lengths}")


class Use:
    """The GPU memory that a container uses, in MiB: its processes', or all that was free at first."""

    def __init__(self, *, alone: bool) -> None:
        self._device = pynvml.nvmlDeviceGetHandleByIndex(0)
        self._before = pynvml.nvmlDeviceGetMemoryInfo(self._device).used if alone else None
        self.group: int | None = None
        """The container's process group, once it is known."""
        self.peak = 0.0
        self.marks: dict[str, float] = {}

    def now(self) -> float:
        """What is in use now; it counts for the peak."""
        if self._before is not None:
            used = pynvml.nvmlDeviceGetMemoryInfo(self._device).used - self._before
        else:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._device)
            used = sum(process.usedGpuMemory for process in processes if self._is_ours(process.pid))
        self.peak = max(self.peak, used / _MIB)
        return float(used / _MIB)

    def _is_ours(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self.group
        except ProcessLookupError:
            return False

    def mark(self, name: str) -> None:
        """Keep what is in use now under `name`."""
        self.marks[name] = self.now()


@contextmanager
def polled(*, alone: bool) -> Iterator[Use]:
    """A thread looks at the memory all the time, to see its peak."""
    use, done = Use(alone=alone), threading.Event()

    def poll() -> None:
        while not done.wait(_POLL_SECONDS):
            use.now()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield use
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Measure the cases of the engines that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--engines", nargs="+", default=[LLAMA_CPP, EXLLAMAV2])
    parser.add_argument(
        "--alone", action="store_true", help="nothing else runs on the GPU: measure all of it"
    )
    arguments = parser.parse_args()
    pynvml.nvmlInit()
    measured = []
    for case in (case for engine in arguments.engines for case in cases(engine)):
        try:
            measured.append(measure(case, arguments.models, alone=arguments.alone))
        except (AssertionError, RuntimeError, OSError, ValueError) as error:
            measured.append({**asdict(case), "error": str(error)[-2000:]})
        print(json.dumps(measured[-1]), flush=True)
        results = {
            "machine": gpu_machine(),
            "measured_is": _WHOLE_GPU if arguments.alone else _PROCESSES,
            "measured": measured,
        }
        arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
