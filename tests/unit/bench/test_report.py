"""The report: a page that is whole, safe and alone."""

from __future__ import annotations

import argparse
import itertools
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.report import command
from quant_llm_tools.bench.report.page import report
from quant_llm_tools.bench.report.scales import at_values, from_zero, logarithmic
from quant_llm_tools.bench.results import Benchmark
from tests.unit.bench.whole_results import benchmark, rounds

TOTALS = ((1, 75), (8, 300), (32, 400))
QUANTISED = benchmark("q4", totals=TOTALS, warnings=("the price is an estimate",))
BASELINE = benchmark(
    "bf16",
    article=rounds(lambda number, _: 30.0 + number / 10),
    totals=((1, 30), (8, 200), (32, 600)),
    environment={"quantization": "BF16", "bits_per_weight": 16.0, "weight_bytes": 16_060_000_000},
)
CHARTS = ["One stream", "Memory", "Throughput", "Cost", "Time to the first token", "Time between tokens"]


class Page(HTMLParser):
    """What a page has: its elements with their attributes, its texts, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)


def charts(page: Page) -> list[str]:
    return page.texts["h3"]


def test_page_has_every_plot_the_numbers_and_the_environment() -> None:
    html = report({"bf16": BASELINE, "q4": QUANTISED})
    page = Page(html)
    assert charts(page) == CHARTS
    assert "Q4_K_M" in html
    assert "0123456789abcdef" in html
    assert any("q4: the price is an estimate" in text for text in page.texts["li"])
    assert any(
        re.match(r"q4: stops being cheaper than bf16 at about \d+ streams", text) for text in page.texts["li"]
    )
    assert "32 streams" in page.texts["td"]
    (markdown,) = page.texts["pre"]
    lines = markdown.splitlines()
    assert len(lines) == 2 + 2 * (1 + len(TOTALS))
    assert {line.count("|") for line in lines} == {len(lines[0].split("|")) - 1}


def test_page_fetches_nothing_and_runs_nothing() -> None:
    html = report({"bf16": BASELINE, "q4": QUANTISED})
    page = Page(html)
    assert {name for name, _ in page.elements} & {"script", "img", "link", "iframe", "object"} == set()
    for _, attributes in page.elements:
        assert not {"src", "href", "style", "onclick"} & set(attributes)
    assert "url(" not in html
    policy = [attributes["content"] for name, attributes in page.elements if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_names_are_text_whatever_they_hold() -> None:
    hostile = "</title><script>alert(1)</script>&\"'"
    result = benchmark(hostile, totals=TOTALS, environment={"endpoint": hostile}, warnings=(hostile,))
    html = report({hostile: result, "b": BASELINE})
    page = Page(html)
    assert "script" not in {name for name, _ in page.elements}
    assert {name for _, attributes in page.elements for name in attributes} & {"onclick", "onload"} == set()
    assert page.texts["h1"] == [f"Benchmark: {hostile}, b"]


def test_every_plot_says_in_words_what_it_shows() -> None:
    page = Page(report({"bf16": BASELINE, "q4": QUANTISED}))
    labels = [
        attributes["aria-label"] for name, attributes in page.elements if attributes.get("role") == "img"
    ]
    assert len(labels) == len(CHARTS)
    rate = QUANTISED.closed[0].summary.tokens_per_s
    assert rate is not None
    assert any(label and f"q4: 1: {rate:.3g}" in label for label in labels)


@pytest.mark.parametrize(
    ("result", "missing"),
    [
        (benchmark(totals=TOTALS, price=None), {"Cost"}),
        (benchmark(totals=TOTALS, article=()), {"One stream"}),
        (benchmark(totals=TOTALS, environment={"weight_bytes": None}), {"Memory"}),
        (benchmark(), {"Throughput", "Cost", "Time to the first token", "Time between tokens"}),
        (benchmark(article=(), environment={"weight_bytes": None}), set(CHARTS)),
    ],
)
def test_what_was_not_measured_has_no_plot(result: Benchmark, missing: set[str]) -> None:
    page = Page(report({"only": result}))
    assert page.texts.get("h3", []) == [name for name in CHARTS if name not in missing]


def test_more_results_than_colours_still_make_a_page() -> None:
    many = {f"r{number}": benchmark(f"r{number}", totals=TOTALS, seed=number) for number in range(8)}
    assert charts(Page(report(many))) == CHARTS


@given(
    st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20),
    st.lists(st.integers(1, 4096), min_size=1, max_size=20),
)
def test_every_value_lies_on_its_axis(values: list[float], streams: list[int]) -> None:
    for scale, shown in (
        (from_zero(values, 100, 0), values),
        (logarithmic(values, 100, 0), values),
        (at_values(streams, 100, 0), streams),
    ):
        for value in [*shown, *scale.ticks]:
            assert -1e-6 <= scale(value) <= 100 + 1e-6
        places = [scale(tick) for tick in sorted(scale.ticks)]
        assert all(later < earlier for earlier, later in itertools.pairwise(places))


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20))
def test_axes_have_a_few_ticks_at_round_numbers(values: list[float]) -> None:
    for scale in (from_zero(values, 0, 100), logarithmic(values, 0, 100)):
        assert 2 <= len(scale.ticks) <= 10
        for tick in scale.ticks:
            digits = tick / 10 ** math.floor(math.log10(tick)) if tick else 0
            assert scale.logarithmic is False or round(digits, 6) in (1, 2, 5, 10)


def run(*options: str) -> int:
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    arguments = parser.parse_args(["bench report", *options])
    code: int = arguments.run(arguments)
    return code


def test_command_writes_the_page_or_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    BASELINE.write(Path(files[0]))
    QUANTISED.write(Path(files[1]))
    assert run(*files, "--output", str(tmp_path / "report.html"), "--baseline", "q4") == 0
    assert "The baseline is q4." in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"wrote {tmp_path / 'report.html'}\n"

    assert run(*files) == 0
    printed = capsys.readouterr().out
    assert "baseline: bf16" in printed
    assert "32 streams" in printed
    assert run(files[1]) == 0
    assert "baseline" not in capsys.readouterr().out

    with pytest.raises(QuantLlmError, match="can't be written: No such file or directory"):
        run(files[0], "--output", str(tmp_path / "no" / "report.html"))
