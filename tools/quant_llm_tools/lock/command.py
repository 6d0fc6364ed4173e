"""`quantllm lock`: resolve the models of agency files at the hub, and write what was found beside them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from quant_llm_tools.lock.selection import DEFAULT_EXCLUDED, DEFAULT_PATTERNS

_DESCRIPTION = """
Asks the hub what each model's `source` is now, and writes the commit, the files with sizes and sha256, and
the model's shape to <agency>.lock.json beside the agency file. Of the weights only the headers are read.
Each run resolves everything again, so a branch that has moved shows as a change. HF_ENDPOINT names another
hub, HF_TOKEN holds the token for gated models. Exit code 1 on any error; an agency with an error keeps the
lock that it has.
"""

_EPILOG = f"""
Patterns in `source.files` are matched against the whole path, and `*` matches `/` too, as in
`hf download --include`. Without them llama.cpp takes the repository's one GGUF or shard set. exllamav2, vllm
and tgi take from its root: {", ".join(DEFAULT_PATTERNS)};
without {", ".join(DEFAULT_EXCLUDED)}.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `lock`."""
    parser = subparsers.add_parser(
        "lock",
        help="resolve models to commit, files, hashes and shape",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="agency file, or folder of them; default: all of ./agencies",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, and no progress")
    one_of = parser.add_mutually_exclusive_group()
    one_of.add_argument("--model", metavar="NAME", help="lock this model alone, leave the others as they are")
    one_of.add_argument(
        "--check", action="store_true", help="ask no hub: only tell whether the locks fit the files"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lock or check, print the report, and return the exit code."""
    from quant_llm_tools.agencies import agency_files
    from quant_llm_tools.lock.agency import check_agency, lock_agencies
    from quant_llm_tools.lock.report import document, text

    paths = agency_files(arguments.paths)
    if arguments.check:
        outcomes = [check_agency(path) for path in paths]
    else:
        outcomes = lock_agencies(paths, arguments.model, _quiet if arguments.json else _to_stderr)
    errors = [error for outcome in outcomes for error in outcome.errors]
    if arguments.json:
        print(json.dumps(document(outcomes), indent=2, ensure_ascii=False))
    else:
        print(text(outcomes))
        for error in errors:
            print(error, file=sys.stderr)
    return 1 if errors else 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(_line: str) -> None:
    """Progress that nobody asked for."""
