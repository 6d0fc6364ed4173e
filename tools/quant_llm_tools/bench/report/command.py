"""`quantllm bench report`: results as a page, or in the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from quant_llm.errors import QuantLlmError


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench report`."""
    parser = subparsers.add_parser(
        "bench report",
        help="results of `bench` as one page with plots, or in the terminal",
        description="Writes one HTML page that needs no network: plots, a table to copy, the environment. "
        "Without --output it prints the same numbers.",
    )
    parser.add_argument(
        "results", metavar="FILE", nargs="+", type=Path, help="what `quantllm bench --output FILE` wrote"
    )
    parser.add_argument("--output", metavar="PAGE", type=Path, help="the page, for example report.html")
    parser.add_argument("--baseline", metavar="NAME", help="the result to compare with; default: the first")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page or print; QuantLlmError when a file is no result or the page can't be written."""
    from quant_llm_tools.bench.compare import compare, read_all
    from quant_llm_tools.bench.compare_text import text as compared
    from quant_llm_tools.bench.report.page import report
    from quant_llm_tools.bench.text import text

    results = read_all(arguments.results)
    output: Path | None = arguments.output
    if output is None:
        texts = [text(benchmark) for benchmark in results.values()]
        if len(results) > 1:
            texts.append(compared(compare(results, arguments.baseline)))
        print("\n\n".join(texts))
        return 0
    page = report(results, arguments.baseline)
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise QuantLlmError(f"{output}: can't be written: {error.strerror}") from None
    print(f"wrote {output}")
    return 0
