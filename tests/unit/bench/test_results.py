"""A result's file: what is written is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.bench.measures import summarise
from quant_llm_tools.bench.results import SCHEMA, Benchmark, schema_text
from tests.unit.bench.made import benchmark, point


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    made = benchmark(point(1, 10), point(2, 20, errors=1))
    made.write(path)
    assert Benchmark.read(path) == made
    assert list(tmp_path.iterdir()) == [path]


def test_points_come_by_loop_and_in_order_and_the_best_has_the_most_tokens() -> None:
    late = point(1, 5).model_copy(update={"loop": "open", "concurrency": None, "arrivals_per_s": 3.0})
    early = late.model_copy(update={"arrivals_per_s": 1.0})
    made = benchmark(point(4, 20), late, point(1, 10), early, point(2, 30))
    assert [one.concurrency for one in made.closed] == [1, 2, 4]
    assert [one.arrivals_per_s for one in made.open] == [1.0, 3.0]
    assert made.best is not None
    assert made.best.concurrency == 2
    assert benchmark().best is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
        ({"started": None}, "started"),
    ],
)
def test_a_file_of_another_form_is_an_error_that_names_the_field(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**benchmark().model_dump(mode="json"), **change}))
    with pytest.raises(QuantLlmError, match=f"{said}.*expected what `quantllm bench --output FILE` wrote"):
        Benchmark.read(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QuantLlmError, match=r"nothing\.json: can't be read: No such file"):
        Benchmark.read(tmp_path / "nothing.json")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QuantLlmError, match="can't be written: No such file"):
        benchmark().write(tmp_path / "nowhere" / "result.json")


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run: python -m quant_llm_tools.bench.results"


def test_a_result_of_a_real_run_is_still_read_and_its_numbers_follow_from_its_requests() -> None:
    real = Benchmark.read(ROOT / "tests" / "fixtures" / "bench" / "local-quick.json")
    assert real.article is not None
    for one in (real.article, *real.sweep):
        assert summarise(one.requests, one.full_load_s, real.price) == one.summary
