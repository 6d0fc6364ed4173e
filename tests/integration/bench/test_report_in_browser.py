"""The report in a real browser: nothing is complained of, fetched, cut off or unreadable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm_tools.bench.report.page import report
from tests.integration.bench.browser import PROGRAM, Browser, browsing
from tests.programs import require
from tests.unit.bench.whole_results import benchmark, rounds

CHARTS = 6
RESULTS = {
    "bf16": benchmark(
        "bf16",
        article=rounds(lambda number, _: 30.0 + number / 10),
        totals=((1, 30), (8, 200), (32, 600)),
        environment={"weight_bytes": 16_060_000_000, "bits_per_weight": 16.0, "quantization": "BF16"},
    ),
    "a-name-as-long-as-an-endpoint-may-have-it-which-is-63-letters-x": benchmark(
        totals=((1, 75), (2, 140), (8, 300), (32, 400)), warnings=("the price is an estimate",)
    ),
}

# Texts that stick out of their picture, by more than a hair.
CUT_OFF = """
[...document.querySelectorAll("svg[role=img]")].flatMap(picture => {
  const frame = picture.getBoundingClientRect();
  return [...picture.querySelectorAll("text")].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
      || box.bottom > frame.bottom + 1 || box.width === 0;
  }).map(text => text.textContent);
})
"""
# Texts of a picture that lie on one another.
OVERLAPPING = """
[...document.querySelectorAll("svg[role=img]")].flatMap(picture => {
  const texts = [...picture.querySelectorAll("text")].map(text => [text, text.getBoundingClientRect()]);
  return texts.flatMap(([one, a], index) => texts.slice(index + 1)
    .filter(([_, b]) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
    .map(([other]) => one.textContent + " | " + other.textContent));
})
"""
# The contrast of texts with what is behind them, by WCAG 2.2.
LEAST_CONTRAST = """
(() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => parse(colour).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parse(colour)[3] !== 0) return colour;
    }
  };
  const texts = [...document.querySelectorAll("h1,h2,h3,p,li,th,td,figcaption,caption,svg text")];
  return Math.min(...texts.map(element => {
    const style = getComputedStyle(element);
    const pair = [luminance(element.closest("svg") ? style.fill : style.color), luminance(behind(element))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  }));
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    require(PROGRAM)
    with browsing(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(RESULTS), encoding="utf-8")
    return path


def complaints(browser: Browser) -> list[object]:
    """What the console and the log of the page say, of any level."""
    return [
        *browser.named("Log.entryAdded"),
        *browser.named("Runtime.consoleAPICalled"),
        *browser.named("Runtime.exceptionThrown"),
    ]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (420, False)])
def test_page_is_quiet_alone_whole_and_readable(
    browser: Browser, page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.open(page, width=width, dark=dark)
    assert complaints(browser) == []
    assert [sent["request"]["url"] for sent in browser.named("Network.requestWillBeSent")] == [page.as_uri()]

    drawn = "[...document.querySelectorAll('svg[role=img]')].map(one => one.getBoundingClientRect().height)"
    heights = browser.evaluate(drawn)
    assert len(heights) == CHARTS
    assert min(heights) > 80
    assert browser.evaluate(CUT_OFF) == []
    assert browser.evaluate(OVERLAPPING) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(LEAST_CONTRAST) >= 4.5
    light = browser.evaluate("getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'")
    assert light is not dark
    browser.screenshot(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_what_would_be_wrong_is_seen(browser: Browser, page: Path, tmp_path: Path) -> None:
    broken = page.read_text(encoding="utf-8").replace("</main>", "<img src='missing.png'></main>")
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    browser.open(tmp_path / "broken.html", width=1280, dark=False)
    assert any("Content Security Policy" in str(one) for one in complaints(browser))
