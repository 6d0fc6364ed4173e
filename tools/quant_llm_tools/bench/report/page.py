"""The report: what was measured, as plots and tables on one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from quant_llm_tools.bench.compare import Comparison, compare
from quant_llm_tools.bench.compare_text import METHOD, sentences
from quant_llm_tools.bench.cost import cost_curve
from quant_llm_tools.bench.report import plots
from quant_llm_tools.bench.report.charts import key
from quant_llm_tools.bench.report.markup import Element, page, tag
from quant_llm_tools.bench.results import Benchmark
from quant_llm_tools.bench.text import HEAD, number, rows

_STYLE = Path(__file__).with_name("style.css")
# The page runs nothing and fetches nothing, whatever a name in a result may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_UNKNOWN = "unknown"


def report(results: Mapping[str, Benchmark], baseline: str | None = None) -> str:
    """The page as HTML, for one result or several; QuantLlmError if `baseline` is none of them."""
    comparison = compare(results, baseline) if len(results) > 1 else None
    title = f"Benchmark: {', '.join(results)}"
    body = [
        tag("h1", title),
        tag("p", _when(results), class_="faint"),
        *_warnings(results),
        *_findings(comparison),
        *_plots(results, comparison),
        *_numbers(results),
        *_environment(results),
        *_method(results, comparison),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", _STYLE.read_text(encoding="utf-8")),
    ]
    return page("en", head, [tag("main", *body)])


def _when(results: Mapping[str, Benchmark]) -> str:
    first = min(benchmark.started for benchmark in results.values())
    last = max(benchmark.finished for benchmark in results.values())
    return f"Measured from {first} to {last}."


def _warnings(results: Mapping[str, Benchmark]) -> Iterator[Element]:
    said = [
        f"{name}: {warning}" if len(results) > 1 else warning
        for name, benchmark in results.items()
        for warning in benchmark.warnings
    ]
    if said:
        yield tag("ul", *(tag("li", words) for words in said), class_="warning", aria_label="warnings")


def _findings(comparison: Comparison | None) -> Iterator[Element]:
    if comparison is not None:
        yield tag("h2", "What it says")
        yield tag("p", f"The baseline is {comparison.name}.")
        yield tag("ul", *(tag("li", words) for words in sentences(comparison)))


def _plots(results: Mapping[str, Benchmark], comparison: Comparison | None) -> Iterator[Element]:
    drawn = [
        plots.one_stream(results),
        plots.memory(results),
        plots.throughput(results),
        plots.cost(results, comparison),
        plots.first_token(results),
        plots.between_tokens(results),
    ]
    yield tag("h2", "Plots")
    if len(results) > 1:
        names = (tag("li", key(number), name) for number, name in enumerate(results))
        yield tag("ul", *names, class_="legend", aria_label="legend")
    yield tag("div", *(figure for figure in drawn if figure is not None), class_="charts")


def _numbers(results: Mapping[str, Benchmark]) -> Iterator[Element]:
    head = ("result", *HEAD)
    body = [(name, *row) for name, benchmark in results.items() for row in rows(benchmark)]
    yield tag("h2", "Numbers")
    yield tag("div", _table(head, body, "Latencies in ms are p50/p90/p99."), class_="scroll")
    markdown = [head, ("---", *("--:" for _ in HEAD)), *body]
    lines = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in markdown)
    yield tag("details", tag("summary", "The same as Markdown, to copy"), tag("pre", lines))


def _environment(results: Mapping[str, Benchmark]) -> Iterator[Element]:
    known = {name: benchmark.environment.model_dump() for name, benchmark in results.items()}
    extra = {name: _run(benchmark) for name, benchmark in results.items()}
    fields = [*next(iter(known.values())), *next(iter(extra.values()))]
    body = []
    for field in fields:
        values = [{**known[name], **extra[name]}[field] for name in results]
        if any(value is not None for value in values):
            body.append((_in_words(field), *(_shown(value) for value in values)))
    yield tag("h2", "Environment")
    yield tag("div", _table(("", *results), body, None, class_="words"), class_="scroll")


def _run(benchmark: Benchmark) -> dict[str, object]:
    """What else must be known to measure it again."""
    workload, price = benchmark.workload, benchmark.price
    ceiling, check = benchmark.generator, benchmark.token_check
    return {
        "started": benchmark.started,
        "route": workload.route,
        "output_tokens_of_an_answer": f"{workload.max_tokens}{'' if workload.fixed_length else ' at most'}",
        "prompts": f"{workload.prompts}, rounds: {workload.rounds}, sha256: {workload.prompts_sha256[:12]}",
        "seed": workload.seed,
        "price": price
        and f"${price.usd_per_hour:g} an hour x {price.instances}, {price.basis}, {price.as_of}",
        "load_generator_at_most": ceiling and f"{ceiling.pieces_per_s:,.0f} pieces of text a second",
        "tokens_by_usage": check and number(check.usage, 0),
        "the_same_by_pieces_of_text": check and number(check.pieces, 0),
        "the_same_counted_again": check and number(check.retokenised, 0),
    }


def _method(results: Mapping[str, Benchmark], comparison: Comparison | None) -> Iterator[Element]:
    yield tag("h2", "How it was measured")
    said = [
        "One stream: all prompts in rounds, one request at a time. Closed loops keep so many streams busy. "
        "Open loops send requests at random moments whether or not the others have been answered, and count "
        "each one's time from when it was due.",
        "Tokens a second of a stream count the whole request, the time to the first token included.",
    ]
    if comparison is not None:
        said.append(METHOD)
    if any(cost_curve(benchmark) for benchmark in results.values()):
        said.append(
            "Costs are the price of instances that do nothing else, over the tokens of that load: "
            "an endpoint that idles pays more for each token."
        )
    yield tag("ul", *(tag("li", words) for words in said))


def _table(
    head: tuple[str, ...], body: list[tuple[str, ...]], caption: str | None, *, class_: str | None = None
) -> Element:
    return tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
        tag("tbody", *(tag("tr", *_cells(row)) for row in body)),
        class_=class_,
    )


def _cells(row: tuple[str, ...]) -> Iterator[Element]:
    yield tag("th", row[0], scope="row")
    yield from (tag("td", cell) for cell in row[1:])


def _in_words(field: str) -> str:
    words = {"gpu": "GPU", "mib": "MiB"}
    return " ".join(words.get(word, word) for word in field.split("_"))


def _shown(value: object) -> str:
    if value is None:
        return _UNKNOWN
    return number(value, 0) if isinstance(value, int) and value >= 10_000 else str(value)
