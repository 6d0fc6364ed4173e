"""The engine's count of tokens beside two others."""

from __future__ import annotations

import asyncio

import pytest

from quant_llm_tools.bench.asking import Answer
from quant_llm_tools.bench.results import TokenCheck
from quant_llm_tools.bench.token_check import check_tokens
from tests.unit.bench.virtual import run


def answer(usage: int | None, pieces: int, words: int, error: str | None = None) -> Answer:
    return Answer(0.0, tuple(map(float, range(pieces))), 9.0, 5, usage, text="word " * words, error=error)


def check(*answers: Answer, bos: int = 1, counts: bool = True) -> TokenCheck | None:
    async def prompt_tokens(text: str) -> int | None:
        await asyncio.sleep(0)
        return bos + len(text.split()) if counts else None

    return run(check_tokens(answers, prompt_tokens))


@pytest.mark.parametrize("bos", [0, 1, 3])
def test_what_the_tokenizer_puts_before_a_prompt_is_not_counted(bos: int) -> None:
    found = check(answer(20, 20, 20), answer(10, 10, 10), bos=bos)
    assert found is not None
    assert found.retokenised == 30
    assert found.agrees


@pytest.mark.parametrize(
    ("usage", "pieces", "words", "agrees"),
    [
        (100, 100, 60, True),  # control tokens have no text
        (100, 40, 95, True),  # several tokens in a piece
        (100, 40, 60, False),  # more tokens than anybody saw
        (50, 100, 100, False),  # fewer
    ],
)
def test_one_of_the_two_others_must_agree(usage: int, pieces: int, words: int, agrees: bool) -> None:
    found = check(answer(usage, pieces, words))
    assert found is not None
    assert found.agrees is agrees


def test_an_endpoint_that_counts_no_prompts_leaves_the_pieces() -> None:
    found = check(answer(10, 10, 10), counts=False)
    assert found is not None
    assert found.retokenised is None
    assert found.agrees


def test_answers_that_failed_or_have_no_usage_are_not_checked() -> None:
    assert check(answer(None, 10, 10), answer(10, 10, 10, error="stream")) is None


def test_five_answers_are_enough() -> None:
    found = check(*(answer(10, 10, 10) for _ in range(9)))
    assert found is not None
    assert (found.answers, found.usage) == (5, 50)
