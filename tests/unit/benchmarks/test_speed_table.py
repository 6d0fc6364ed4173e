"""The tables of speed: their arithmetic, and that the pages show what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed_table import (
    BANDWIDTH,
    BASELINE,
    BEGIN,
    END,
    PAGES,
    RESULTS,
    multiples,
    page,
    read,
    short_table,
    table,
)


def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def made(way: str, rate: float, **more: Any) -> dict[str, Any]:
    """A row of a file of results, served at `rate` through the container and at twice that directly."""
    streams = {"container": {"tokens_per_s": rate, "ttft_ms": 5}, "direct": {"tokens_per_s": 2 * rate}}
    if way == BASELINE:
        streams = {"in_process": {"tokens_per_s": rate, "ttft_ms": 5}}
    row = {"shape": "7B", "way": way, "weight_bytes": 10**9, "peak_mib": 2048, "variables": {}}
    row["loads"] = [{"streams": 1, "tokens": 128}]
    return {**row, "streams_1": streams, "streams_32": streams, **more}


def test_a_multiple_is_of_the_same_shape_in_bf16_through_the_container() -> None:
    rows = read({"rows": [made(BASELINE, 20), made("GPTQ 4 bit", 90), made(BASELINE, 10, shape="34B")]})
    assert multiples(rows)["7B", "GPTQ 4 bit"] == pytest.approx(4.5)
    assert multiples(rows)["34B", BASELINE] == 1


def test_the_share_of_the_bandwidth_is_bytes_a_second_over_the_memorys() -> None:
    (row,) = read({"rows": [made("GPTQ 4 bit", 335, weight_bytes=10**9)]})
    assert row.bandwidth_share == pytest.approx(0.1)
    assert pytest.approx(3.35e12) == BANDWIDTH


def test_no_row_reads_faster_than_the_memory_gives() -> None:
    assert all(0 < row.bandwidth_share < 1 for row in read(results()))


def test_a_row_that_failed_is_left_out() -> None:
    assert read({"rows": [made("GPTQ 4 bit", 1, error="out of memory")]}) == []


def test_llama_cpp_ran_without_its_prompt_cache_in_all_rows() -> None:
    rows = [row for row in results()["rows"] if row["way"].startswith("GGUF")]
    assert rows
    assert {row["variables"]["LLAMA_ARG_CACHE_RAM"] for row in rows} == {"0"}


def test_a_first_token_that_came_with_the_last_is_not_told() -> None:
    """128 tokens at 64 a second took two seconds, and so did the first text."""
    row = made("GPTQ", 64)
    row["streams_1"]["container"]["ttft_ms"] = 1990
    written = {**results(), "rows": [made(BASELINE, 32), row]}
    assert [row.first_token_ms for row in read(written)] == [5, None]
    assert "| GPTQ | 64 | 2.0 | 2% | - | 64 |" in table(written)


def test_a_cell_without_a_measurement_is_a_dash() -> None:
    some = {**results(), "rows": [made(BASELINE, 20), made(BASELINE, 9, shape="34B"), made("EXL2", 40)]}
    assert "| EXL2 | 40 (2.0x) | - |" in short_table(some)


def test_every_shape_was_measured_in_every_way() -> None:
    rows = read(results())
    assert len({(row.shape, row.way) for row in rows}) == len({row.shape for row in rows}) * len(
        {row.way for row in rows}
    )


def test_the_table_has_machine_date_and_versions() -> None:
    machine = results()["machine"]
    for text in (table(results()), short_table(results())):
        for key in ("gpu", "driver", "transformers", "exllamav2", "torch"):
            assert machine[key] in text
        assert machine["date"][:10] in text


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_the_pages_show_what_was_measured(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text == page(text, PAGES[file](results())), "python -m benchmarks.speed_table"


def test_a_page_without_a_place_for_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="speed: end"):
        page(f"a {BEGIN} b", "table")
    assert page(f"a {BEGIN}old{END} b", "new") == f"a {BEGIN}new{END} b"
