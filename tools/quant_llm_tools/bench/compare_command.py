"""`quantllm bench compare`: results beside a baseline."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench compare`."""
    parser = subparsers.add_parser(
        "bench compare",
        help="results of `bench` beside a baseline: multiples, noise, cost",
        description="Says how many times as fast each result is as the baseline, whether that is more than "
        "noise, and from how many streams on it is no longer the cheaper one.",
    )
    parser.add_argument(
        "results",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="what `quantllm bench --output FILE` wrote, 2 or more",
    )
    parser.add_argument("--baseline", metavar="NAME", help="the result to compare with; default: the first")
    parser.add_argument("--json", action="store_true", help="print one line of JSON in place of tables")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; QuantLlmError when a file is no result, or there is nothing to compare."""
    from quant_llm_tools.bench.compare import compare, read_all
    from quant_llm_tools.bench.compare_text import document, text

    comparison = compare(read_all(arguments.results), arguments.baseline)
    print(json.dumps(document(comparison)) if arguments.json else text(comparison))
    return 0
