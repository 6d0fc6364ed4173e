"""The sizing against memory that was measured on a GPU, and the page that shows it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.gpu.random_models import SHAPES
from benchmarks.sizing_table import BEGIN, END, PAGE, RESULTS, Measured, page, read, table
from benchmarks.speed_table import RESULTS as SPEED
from quant_llm.catalogue import MIB
from tests.unit.catalogue.models import workload

WORST = 0.10


def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def test_no_prediction_is_too_low_and_none_is_a_tenth_too_high() -> None:
    wrong = [
        (one.workload.engine, one.workload.weight_bytes, one.workload.context_length, f"{one.error:+.1%}")
        for one in read(results())
        if not 0 <= one.error <= WORST
    ]
    assert not wrong


def of_the_table() -> list[dict[str, Any]]:
    """The engines' rows of the table of speed, as the runs of memory: 32 requests of 512 tokens each."""
    embedding_bytes = {"GGUF Q4_0": 18 / 32, "GGUF Q8_0": 34 / 32, "GPTQ 4 bit": 2, "EXL2 4.0 bpw": 2}
    runs = []
    for row in json.loads(SPEED.read_text())["rows"]:
        if row["way"] not in embedding_bytes:
            continue
        shape = SHAPES[row["shape"]]
        embedding = shape.embedding * embedding_bytes[row["way"]]
        runs.append(
            {
                "engine": "llama.cpp" if row["way"].startswith("GGUF") else "exllamav2",
                "quantisation": row["way"],
                "shape": asdict(shape),
                "head_size": shape.head_size,
                "context": 512,
                "concurrency": 32,
                "variables": row["variables"],
                "weights_mib": (row["weight_bytes"] + embedding) / MIB,
                "of_that_embedding_mib": embedding / MIB,
                "peak_mib": row["peak_mib"],
            }
        )
    return runs


def test_nor_is_one_of_the_larger_shapes_with_32_requests() -> None:
    errors = {
        (run["shape"]["name"], run["quantisation"]): one.error
        for run, one in zip(of_the_table(), read({"measured": of_the_table()}), strict=True)
    }
    assert len(errors) == 12
    assert {name: error for name, error in errors.items() if not 0 <= error <= WORST} == {}


def test_two_engines_two_shapes_and_two_contexts_were_measured() -> None:
    runs = list(read(results()))
    for engine in ("llama.cpp", "exllamav2"):
        of_engine = [one.workload for one in runs if one.workload.engine == engine]
        assert len({one.shape.parameters for one in of_engine}) >= 2
        assert len({one.context_length * one.concurrency for one in of_engine}) >= 2


def test_the_page_shows_what_was_measured() -> None:
    text = PAGE.read_text()
    assert text == page(text, results())


def test_a_prediction_below_the_measured_is_a_negative_error() -> None:
    predicted = Measured(workload(), 1.0).predicted_mib
    assert Measured(workload(), predicted * 2).error == pytest.approx(-0.5)
    assert Measured(workload(), predicted / 2).error == pytest.approx(1.0)


def test_a_table_replaces_the_one_before() -> None:
    run = {
        "engine": "llama.cpp",
        "shape": {
            "name": "Mistral-7B",
            "layers": 32,
            "hidden": 4096,
            "feed_forward": 14336,
            "heads": 32,
            "kv_heads": 8,
            "vocabulary": 32000,
            "context_length": 32768,
        },
        "quantisation": "Q4_K_M",
        "context": 4096,
        "concurrency": 1,
        "kv_cache": "f16",
        "head_size": 128,
        "variables": {},
        "weights_mib": 4166.1,
        "of_that_embedding_mib": 70.3,
        "peak_mib": 5000,
    }
    machine = {"gpu": "GPU", "driver": "580", "date": "2026-11-23T01:02:03+00:00"}
    machine |= {"exllamav2": "1", "flash-attn": "2", "torch": "3"}
    made = {"machine": machine, "measured": [run]}
    text = page(f"before\n{BEGIN}old\n{END}after\n", made)
    assert text == f"before\n{BEGIN}{table(made)}{END}after\n"
    assert page(text, made) == text
    assert "| llama.cpp | Mistral-7B | Q4_K_M | f16 | 4,096 x 1 | 5,000 |" in text
    assert "GPU, driver 580, 2026-11-23; llama.cpp b11549, exllamav2 1, flash-attn 2, torch 3." in text
