"""`quantllm bench compare`: multiples, costs and the sentences about them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench import compare_command
from quant_llm_tools.bench.compare import Comparison, compare, read_all
from quant_llm_tools.bench.compare_text import document, sentences, text
from tests.unit.bench.whole_results import benchmark, rounds

BASELINE = benchmark(
    "bf16",
    article=rounds(lambda number, _: 30.0 + number / 10),
    totals=((1, 30), (8, 200), (32, 600)),
    environment={"quantization": "BF16", "bits_per_weight": 16.0, "weight_bytes": 16_060_000_000},
)
FASTER = benchmark(
    "q4", article=rounds(lambda number, _: 75.0 + number / 10), totals=((1, 75), (8, 300), (32, 400))
)


def said(comparison: Comparison) -> str:
    return "\n".join(sentences(comparison))


def test_multiples_cost_and_the_load_at_which_it_stops_paying() -> None:
    (versus,) = compare({"bf16": BASELINE, "q4": FASTER}).others
    assert versus.one_stream is not None
    assert versus.one_stream.value == pytest.approx(75.2 / 30.2, rel=1e-3)
    assert versus.one_stream.is_noise is False
    assert versus.cost_one_stream == pytest.approx(30.2 / 75.2, rel=1e-2)
    assert versus.cost_best == pytest.approx(600 / 400, rel=0.1)
    assert [pair.concurrency for pair in versus.points] == [1, 8, 32]
    assert versus.points[-1].speed is not None
    assert versus.points[-1].speed.value == pytest.approx(400 / 600, rel=0.1)
    assert versus.break_even is not None
    assert versus.break_even.concurrency is not None
    assert 8 < versus.break_even.concurrency < 32
    words = said(compare({"bf16": BASELINE, "q4": FASTER}))
    assert "q4: 2.49 times as fast as bf16 with one stream" in words
    assert "stops being cheaper than bf16 at about" in words
    assert "(cheaper at 1, 8, not at 32)" in words


def test_baseline_is_the_named_one() -> None:
    comparison = compare({"bf16": BASELINE, "q4": FASTER}, "q4")
    (versus,) = comparison.others
    assert (comparison.name, versus.name) == ("q4", "bf16")
    assert versus.one_stream is not None
    assert versus.one_stream.value < 0.5
    assert "bf16: cheaper than q4 at 32 streams only, not at 1, 8" in said(comparison)


def test_a_difference_inside_the_noise_is_called_that() -> None:
    again = benchmark("again", article=rounds(lambda number, _: 30.0 + (4 - number) / 10))
    comparison = compare({"bf16": BASELINE, "again": again})
    assert "inside the noise" in said(comparison)
    assert "(noise)" in text(comparison)
    assert document(comparison)["results"][0]["one_stream"]["noise"] is True


def test_always_cheaper_is_said_with_the_loads_that_were_measured() -> None:
    cheaper = benchmark("q8", totals=((1, 40), (8, 210), (32, 700)))
    assert "cheaper than bf16 at every load measured: 1, 8, 32 streams" in said(
        compare({"bf16": BASELINE, "q8": cheaper})
    )


def test_published_loss_stands_beside_the_speed_of_fewer_bits() -> None:
    assert "4.83 bits a weight: 4 bits cost an 8B model about 2 %" in said(
        compare({"bf16": BASELINE, "q4": FASTER})
    )
    eight = benchmark("q8", environment={"quantization": "Q8_0", "bits_per_weight": 8.5})
    assert "8 bits are nearly lossless" in said(compare({"bf16": BASELINE, "q8": eight}))
    assert "arXiv" not in said(compare({"q4": FASTER, "bf16": BASELINE}))
    assert "arXiv" not in said(compare({"q4": FASTER, "again": FASTER}))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (benchmark("b", workload={"max_tokens": 64}), "max tokens: 64 and not 32"),
        (benchmark("b", workload={"prompts_sha256": "1" * 64}), "prompts sha256"),
        (benchmark("b", complete=False), "one of them was interrupted"),
        (benchmark("b", environment={"parameters": 3_000_000_000}), "parameters: 3,000,000,000"),
    ],
)
def test_differences_in_what_was_asked_are_told(other: object, words: str) -> None:
    comparison = compare({"bf16": BASELINE, "b": other})  # type: ignore[dict-item] # pytest hands out objects
    assert "compare with care" in said(comparison)
    assert words in said(comparison)


def test_what_is_unknown_is_called_that_and_no_number_is_made_up() -> None:
    bare = benchmark("bare", article=(), price=None)
    comparison = compare({"bf16": BASELINE, "bare": bare})
    (versus,) = comparison.others
    assert (versus.one_stream, versus.cost_one_stream, versus.break_even) == (None, None, None)
    assert "unknown" in text(comparison)
    assert "no speed of one stream to compare" in said(comparison)
    assert "a token costs" not in said(comparison)


def test_results_of_one_name_are_called_by_their_files(tmp_path: Path) -> None:
    for name in ("monday", "tuesday"):
        FASTER.write(tmp_path / f"{name}.json")
    paths = [tmp_path / "monday.json", tmp_path / "tuesday.json"]
    assert list(read_all(paths)) == ["monday", "tuesday"]
    with pytest.raises(QuantLlmError, match="another result is called 'monday' too"):
        read_all([paths[0], paths[0]])


@pytest.mark.parametrize(
    ("names", "baseline", "words"),
    [
        (["bf16"], None, "at least 2 results, got 1"),
        (["bf16", "q4"], "q5", "got 'q5', expected one of bf16, q4"),
    ],
)
def test_nothing_to_compare_is_an_error(names: list[str], baseline: str | None, words: str) -> None:
    with pytest.raises(QuantLlmError, match=words):
        compare(dict.fromkeys(names, BASELINE), baseline)


def test_command_prints_the_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BASELINE.write(tmp_path / "a.json")
    FASTER.write(tmp_path / "b.json")
    parser = argparse.ArgumentParser()
    compare_command.register(parser.add_subparsers())
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]

    def run(*options: str) -> str:
        arguments = parser.parse_args(["bench compare", *files, *options])
        assert arguments.run(arguments) == 0
        return capsys.readouterr().out

    table = run()
    assert "baseline: bf16" in table
    assert "q4 beside bf16, by streams" in table
    result = json.loads(run("--baseline", "q4", "--json"))
    assert result["baseline"] == "q4"
    assert result["results"][0]["streams"]["32"]["times"] > 1
