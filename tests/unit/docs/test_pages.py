"""What the pages tell a stranger to type and to open is there."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm_tools import cli
from tests.unit.docs.pages import TEXTS, blocks

ROOT = Path(__file__).parents[3]


def commands(program: str) -> Iterator[tuple[str, str]]:
    """Page and line of every command of a program: in blocks, and in the text between backquotes."""
    for page, text in TEXTS.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks(text) for line in block]
        for line in [*lines, *re.findall(r"`([^`\n]+)`", prose)]:
            typed = re.sub(r"^\$ ", "", line.strip())
            typed = re.sub(r"\s+(#|\||>|&&|;).*$", "", typed)
            if typed.startswith(f"{program} "):
                yield page, typed


def filled(word: str) -> str:
    """A word with values in the place of `<what>`, `NAME` and dots."""
    return re.sub(r"<[^>]+>|…|\.\.\.", "7", word)


@pytest.mark.parametrize(("page", "command"), sorted(set(commands("quantllm"))))
def test_a_command_of_the_documents_is_refused_by_quantllm(page: str, command: str) -> None:
    words = [filled(word) for word in shlex.split(command)[1:]]
    assert is_a_mention(words) or exit_code(words) == 0, f"{page}: {command}"


def exit_code(words: list[str]) -> int | str | None:
    """What argparse makes of them, without running anything; --help ends with 0."""
    try:
        cli.parse(words)
    except SystemExit as ended:
        return ended.code
    return 0


def is_a_mention(words: list[str]) -> bool:
    """Whether the words are a command's name alone, which the text speaks of."""
    return not any(word.startswith("-") for word in words) and len(words) <= 2


@pytest.mark.parametrize(("page", "command"), sorted(set(commands("make"))))
def test_a_target_of_the_documents_is_not_in_the_makefile(page: str, command: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = [word for word in shlex.split(command)[1:] if "=" not in word and not word.startswith("-")]
    assert asked
    assert [word for word in asked if word not in targets] == [], f"{page}: {command}"


@pytest.mark.parametrize(
    ("page", "command"), sorted({*commands("python"), *commands(".venv/bin/python"), *commands("python3")})
)
def test_a_program_of_the_documents_is_not_there(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]) is not None, f"{page}: {command}"
    elif not words[0].startswith("-"):
        assert (ROOT / words[0]).is_file(), f"{page}: {command}"


@pytest.mark.parametrize("page", TEXTS)
def test_a_link_leads_nowhere(page: str) -> None:
    prose = re.sub(r"^```.*?^```", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", prose)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_a_page_is_not_in_the_index() -> None:
    pages = {page.removeprefix("docs/") for page in TEXTS if re.fullmatch(r"docs/[^/]+\.md", page)}
    linked = set(re.findall(r"\]\(([^)#]+)", TEXTS["docs/README.md"]))
    assert sorted(pages - linked - {"README.md"}) == []
