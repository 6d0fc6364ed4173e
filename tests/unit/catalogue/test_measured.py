"""The sizing against memory that was measured on a GPU, and the page that shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.sizing_table import BEGIN, END, PAGE, RESULTS, Measured, page, read, table
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
