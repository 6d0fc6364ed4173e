"""The article's table on this GPU: `python3 -m benchmarks.gpu.table MODELS RESULTS [shape:way ...]`.

Models of the true CodeLlama shapes with random weights, on which speed and memory do not depend, in each way
that they can be served: Transformers in this GPU's memory, the engines through the container's port and at
their own sockets. A row is in RESULTS as soon as it is measured; those that are there are not measured again.
MODELS needs room for two files at a time, of up to 36 GB: the next one is written while one is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pynvml
import uvloop
from gguf import GGMLQuantizationType as GgmlType

from benchmarks.gpu.machine import gpu_machine
from benchmarks.gpu.memory import polled, weight_bytes
from benchmarks.gpu.random_models import SHAPES, Shape, write_exl2, write_gguf, write_gptq
from benchmarks.gpu.serving import EXLLAMAV2, LLAMA_CPP, options, serving
from benchmarks.gpu.throughput import Load, compare

CONTEXT = 512  # tokens for each of the streams
LOADS = (Load(1, 128, 3), Load(32, 64, 1))
_TABLE = ("CodeLlama-7B", "CodeLlama-13B", "CodeLlama-34B")
_BASELINE_SECONDS = 400.0


@dataclass(frozen=True)
class Served:
    """A format: its engine, and what writes a model of a shape to a path."""

    engine: str
    write: Callable[[Shape, Path], None]
    suffix: str = ""


def _q4_0(shape: Shape, file: Path) -> None:
    write_gguf(shape, file, GgmlType.Q4_0)


def _q8_0(shape: Shape, file: Path) -> None:
    write_gguf(shape, file, GgmlType.Q8_0)


BASELINES = {"Transformers BF16": (), "Transformers 8 bit (bitsandbytes)": ("--eight-bit",)}
SERVED = {
    "GGUF Q4_0": Served(LLAMA_CPP, _q4_0, ".gguf"),
    "GPTQ 4 bit": Served(EXLLAMAV2, write_gptq),
    "EXL2 4.0 bpw": Served(EXLLAMAV2, write_exl2),
    "GGUF Q8_0": Served(LLAMA_CPP, _q8_0, ".gguf"),
}


def baseline(shape: Shape, flags: tuple[str, ...], loads: tuple[Load, ...]) -> dict[str, Any]:
    """Transformers, in a process of its own, which gives all memory back."""
    command = [sys.executable, "-m", "benchmarks.gpu.baseline", shape.name, *flags]
    command += ["--loads", json.dumps([astuple(load) for load in loads])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BASELINE_SECONDS)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def served(model: Path, engine: str, loads: tuple[Load, ...]) -> dict[str, Any]:
    """The container on `model`, and its engine's socket."""
    variables = options(engine, context=CONTEXT, concurrency=max(load.streams for load in loads))
    with polled(alone=False) as use, serving(engine, model, variables) as running:
        use.group = running.container.pid
        measured = uvloop.run(compare(running.container.port, running.engine_socket, loads))
    on_disk, embedding = weight_bytes(model)
    return {
        **measured,
        "weight_bytes": on_disk - embedding,
        "peak_mib": use.peak,
        "variables": variables,
    }


class _Writer:
    """Writes one model ahead, in a process of low priority."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._pool = ProcessPoolExecutor(1, initializer=os.nice, initargs=(19,))
        self._written: dict[tuple[str, str], Future[None]] = {}

    def path(self, shape: str, way: str) -> Path:
        return self._models / f"{shape}.{way.replace(' ', '-')}{SERVED[way].suffix}"

    def begin(self, shape: str, way: str) -> None:
        if way in SERVED and (shape, way) not in self._written:
            self._written[shape, way] = self._pool.submit(
                SERVED[way].write, SHAPES[shape], self.path(shape, way)
            )

    def wait(self, shape: str, way: str) -> Path:
        self.begin(shape, way)
        self._written[shape, way].result()
        return self.path(shape, way)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def measure_all(rows: list[tuple[str, str]], models: Path, results: Path) -> None:
    """Measure `rows` of shape and way, and write each to `results`."""
    written = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {"rows": []}
    known = {(row["shape"], row["way"]) for row in written["rows"] if "error" not in row}
    rows = [row for row in rows if row not in known]
    writer = _Writer(models)
    for number, (shape, way) in enumerate(rows):
        try:
            if way in BASELINES:
                _begin_next(writer, rows, number)
                measured = baseline(SHAPES[shape], BASELINES[way], LOADS)
            else:
                model = writer.wait(shape, way)
                _begin_next(writer, rows, number)
                try:
                    measured = served(model, SERVED[way].engine, LOADS)
                finally:
                    _remove(model)
        except (AssertionError, RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
            measured = {"error": str(error)[-2000:]}
        loads = [asdict(load) for load in LOADS]
        row = {"shape": shape, "parameters": SHAPES[shape].parameters, "way": way, **measured, "loads": loads}
        print(json.dumps(row), flush=True)
        written["rows"] = [one for one in written["rows"] if (one["shape"], one["way"]) != (shape, way)]
        written["rows"].append(row)
        written["machine"] = gpu_machine()
        results.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _begin_next(writer: _Writer, rows: list[tuple[str, str]], number: int) -> None:
    """Begin with the next row that needs a file."""
    for row in rows[number + 1 :]:
        if row[1] in SERVED:
            writer.begin(*row)
            return


def main() -> None:
    """Measure what the command line names, or the whole table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("rows", nargs="*", metavar="shape:way", help="the CodeLlamas in all ways, if none")
    arguments = parser.parse_args()
    pynvml.nvmlInit()
    arguments.models.mkdir(parents=True, exist_ok=True)
    rows = [tuple(row.split(":")) for row in arguments.rows] or list(product(_TABLE, (*BASELINES, *SERVED)))
    measure_all(rows, arguments.models, arguments.results)


if __name__ == "__main__":
    main()
