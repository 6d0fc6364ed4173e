"""The environment variables that the pinned llama-server reads, kept as data in `llama_server_options.txt`.

    python3 -m quant_llm_serving.llama_server_options llama.cpp/tools/server/README.md

prints that file from the README, whose tables llama.cpp generates from its argument parser. A switch that has
a `--no-` form can be turned off by LLAMA_ARG_NO_X as well. Options that were removed are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_TABLE = Path(__file__).with_suffix(".txt")
_HEADER = "# The environment variables of llama-server, written by llama_server_options.py."
_ROW = re.compile(r"^\| `(?P<flags>.+?)` \| (?P<help>.*) \|$", re.MULTILINE)
_VARIABLE = re.compile(r"\(env: (LLAMA_[A-Z0-9_]+)\)")


def known_options() -> frozenset[str]:
    """The names of the variables."""
    lines = _TABLE.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def documented_options(readme: str) -> list[str]:
    """The names that the text of `tools/server/README.md` documents, sorted."""
    return sorted(set(_documented(readme)))


def _documented(readme: str) -> Iterator[str]:
    for row in _ROW.finditer(readme):
        variable = _VARIABLE.search(row["help"])
        if variable is None or row["help"].startswith("the argument has been removed"):
            continue
        yield variable[1]
        negative = [flag.startswith("--no-") for flag in re.findall(r"--[a-z0-9-]+", row["flags"])]
        if any(negative) and not all(negative):
            yield variable[1].replace("LLAMA_ARG_", "LLAMA_ARG_NO_")


if __name__ == "__main__":
    print("\n".join([_HEADER, *documented_options(Path(sys.argv[1]).read_text(encoding="utf-8"))]))
