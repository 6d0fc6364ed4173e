"""The prompts that a benchmark asks: 30 of our own, in five lengths."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

PROMPTS = Path(__file__).with_name("prompts.yaml")

PARAGRAPHS = (0, 1, 2, 4, 6)
"""How many paragraphs a prompt of each length has."""


@dataclass(frozen=True)
class Prompts:
    """`texts` go through all lengths of the first subject, then of the second, and so on.

    Any five that follow each other, counted from a multiple of five, are of all five lengths.
    """

    texts: tuple[str, ...]
    sha256: str


@functools.cache
def load_prompts() -> Prompts:
    """The prompts of the file beside this one, read once a process."""
    data = PROMPTS.read_bytes()
    subjects = YAML(typ="safe", pure=True).load(data)["subjects"]
    texts = tuple(
        _prompt(subject["question"], subject["task"], subject["paragraphs"][:paragraphs])
        for subject in subjects
        for paragraphs in PARAGRAPHS
    )
    return Prompts(texts, hashlib.sha256(data).hexdigest())


def _prompt(question: str, task: str, paragraphs: list[str]) -> str:
    return "\n\n".join([*paragraphs, task]) if paragraphs else question


def salted(text: str, salt: str, number: int) -> str:
    """The prompt as request `number` of a run sends it: no other request begins with the same words.

    Engines keep what they computed for a prompt's beginning: asked twice, a prompt would cost nothing the
    second time, and rounds would not be rounds.
    """
    return f"[{salt}-{number:05}] {text}"
