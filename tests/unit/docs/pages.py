"""The pages, and the commands in their blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quant_llm.paths import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/**/*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
PROGRAMS = {
    ".venv/bin/python",
    "aws",
    "cdk",
    "docker",
    "eval",
    "git",
    "make",
    "pip",
    "python",
    "python3",
    "quantllm",
    "source",
}
_SHELL = {"", "bash", "console", "sh", "shell"}


@dataclass(frozen=True)
class Command:
    """A line of a page as it stands there, without its comment."""

    page: str
    typed: str


def commands() -> list[Command]:
    """Every command of the pages' blocks, in order: the README's first, then page after page."""
    return [
        Command(page, line)
        for page, text in TEXTS.items()
        for block in blocks(text)
        if all(program(line) in PROGRAMS or program(line).endswith(".sh") for line in block)
        for line in block
    ]


def blocks(text: str) -> Iterator[list[str]]:
    """The lines of each fenced block that names no other language than the shell's, joined at backslashes."""
    for language, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        if language in _SHELL:
            lines = block.replace("\\\n", " ").splitlines()
            yield [re.sub(r"\s+# .*$", "", line) for line in lines if line.strip()]


def program(line: str) -> str:
    """The first word of a command, behind the variables that are set for it."""
    return next((word for word in line.split() if not re.match(r"[A-Z_]+=", word)), "")
