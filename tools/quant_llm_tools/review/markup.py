"""Text of unknown origin as Markdown that can't be anything but text, on GitHub and on GitLab.

Names and values of a pull request may hold anything: mentions, links, HTML, table cells, commands to the
forge. Only a code span keeps them all from being read, so everything but plain words is in one.
"""

from __future__ import annotations

import re
from typing import Final

from quant_llm_tools.review.values import LONGEST_SENTENCE, LONGEST_VALUE, shortened, visible

# Words and numbers that mean nothing to a forge. Seven or more hexadecimal digits could be a commit.
_PLAIN: Final = re.compile(
    r"(?![0-9a-f]{7,}$)(?:[A-Za-z]+(?:['/-][A-Za-z]+)*|[A-Za-z]+\d{1,3}[A-Za-z]?|\d{1,3}(?:,\d{3})*(?:\.\d+)?%?|\d{1,6}|[→=…])"
)
_AROUND: Final = re.compile(r"(\(?)(.*?)(\)?[,.;:!?]*)", re.DOTALL)
_QUOTED: Final = re.compile(r"`([^`]+)`")


def code(text: str, most: int = LONGEST_VALUE) -> str:
    """The text as a code span on one line, its middle left out beyond `most` characters."""
    text = shortened(visible(text), most).strip() or " "
    runs = [len(run) for run in re.findall(r"`+", text)]
    fence = "`" * next(length for length in range(1, len(text) + 2) if length not in runs)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def cell(text: str, most: int = LONGEST_VALUE) -> str:
    """The same in a table, where a `|` would end the cell even in a code span: it is shown as `¦`."""
    return code(text.replace("|", "¦"), most)


def prose(text: str, most: int = LONGEST_SENTENCE) -> str:
    """A sentence: plain words as they are, everything else as code spans."""
    text = shortened(visible(text), most)
    parts: list[str] = []
    end = 0
    for quoted in _QUOTED.finditer(text):
        parts += [*_words(text[end : quoted.start()]), code(quoted[1], most)]
        end = quoted.end()
    return _joined([*parts, *_words(text[end:])]) or code("")


def _words(text: str) -> list[str]:
    """Plain words, and each run of others as one code span; punctuation around it stays outside."""
    found: list[str] = []
    odd: list[str] = []
    for word in text.split():
        opening, inner, closing = _parts(word)
        # A number with a full stop or a bracket could begin an item of a list.
        numbered = inner.isdigit() and closing[:1] in (".", ")")
        plain = not inner or (_PLAIN.fullmatch(inner) is not None and not numbered)
        if odd and (plain or opening):
            found.append(code(" ".join(odd)))
            odd = []
        if plain:
            found.append(word)
        elif closing or opening:
            found.append(f"{opening}{code(' '.join([*odd, inner]))}{closing}")
            odd = []
        else:
            odd.append(inner)
    return [*found, code(" ".join(odd))] if odd else found


def _parts(word: str) -> tuple[str, str, str]:
    matched = _AROUND.fullmatch(word)
    return (matched[1], matched[2], matched[3]) if matched else ("", word, "")


def _joined(parts: list[str]) -> str:
    """The parts with spaces between them, but none before punctuation that followed a quotation."""
    text = ""
    for part in parts:
        text += part if not text or re.fullmatch(r"[),.;:!?]+", part) else f" {part}"
    return text
