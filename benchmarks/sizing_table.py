"""The table of docs/sizing.md: GPU memory as measured and as the sizing predicts it.

`python -m benchmarks.sizing_table` writes it into the page, from results/gpu-memory.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant_llm.agency import ModelShape
from quant_llm.catalogue import MIB, Workload, memory_needed

RESULTS = Path(__file__).parent / "results" / "gpu-memory.json"
PAGE = Path(__file__).parents[1] / "docs" / "sizing.md"
_VERSIONS = ("exllamav2", "flash-attn", "torch")
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


@dataclass(frozen=True)
class Measured:
    """One run: what was served, and the most memory in use, MiB, beside what an idle GPU has."""

    workload: Workload
    peak_mib: float

    @property
    def predicted_mib(self) -> float:
        """What the sizing says of the same workload on one GPU."""
        return memory_needed(self.workload, 1).total / MIB

    @property
    def error(self) -> float:
        """Predicted over measured, less one: below zero the model would not fit where it is said to."""
        return self.predicted_mib / self.peak_mib - 1


def read(results: dict[str, Any]) -> Iterator[Measured]:
    """The runs of a results file, which benchmarks/gpu/memory.py wrote."""
    for run in results["measured"]:
        weight_bytes = int(run["weights_mib"] * MIB)
        workload = Workload(
            engine=run["engine"],
            shape=_shape(run, weight_bytes),
            weight_bytes=weight_bytes,
            total_bytes=weight_bytes,
            context_length=run["context"],
            concurrency=run["concurrency"],
            options=run["variables"],
        )
        yield Measured(workload, run["peak_mib"])


def _shape(run: dict[str, Any], weight_bytes: int) -> ModelShape:
    """The shape as a lock has it. The models were Llamas with an output layer of their own."""
    shape = run["shape"]
    hidden, vocabulary, heads = shape["hidden"], shape["vocabulary"], shape["heads"] + shape["kv_heads"]
    layer = 2 * hidden * run["head_size"] * heads + 3 * hidden * shape["feed_forward"]
    parameters = shape["layers"] * layer + 2 * vocabulary * hidden
    of_safetensors = run["engine"] == "exllamav2"
    return ModelShape(
        format="safetensors" if of_safetensors else "gguf",
        architecture="llama",
        quantization=run["quantisation"],
        parameters=parameters,
        bits_per_weight=weight_bytes * 8 / parameters,
        layers=shape["layers"],
        attention_heads=shape["heads"],
        key_value_heads=shape["kv_heads"],
        head_size=run["head_size"],
        embedding_size=hidden,
        vocabulary_size=vocabulary,
        context_length=shape["context_length"],
        separate_embedding_bytes=int(run["of_that_embedding_mib"] * MIB) if of_safetensors else 0,
    )


def table(results: dict[str, Any]) -> str:
    """The table in Markdown, with the machine, the versions and the date above it."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in _VERSIONS)
    lines = [
        f"{machine['gpu']}, driver {machine['driver']}, {machine['date'][:10]}; "
        f"llama.cpp b11549, {versions}.",
        "Random weights of the true shapes; memory depends on the shape alone.",
        "",
        "| engine | model | quantisation | KV cache | context x requests "
        "| measured, MiB | predicted, MiB | error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run, one in zip(results["measured"], read(results), strict=True):
        load = one.workload
        lines.append(
            f"| {load.engine} | {run['shape']['name']} | {load.shape.quantization} | {run['kv_cache']} "
            f"| {load.context_length:,} x {load.concurrency} | {one.peak_mib:,.0f} "
            f"| {one.predicted_mib:,.0f} | {one.error:+.1%} |"
        )
    return "\n".join(lines) + "\n"


def page(text: str, results: dict[str, Any]) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(results) + END + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), json.loads(RESULTS.read_text())))
