"""The prompts that travel with the product."""

from __future__ import annotations

from quant_llm_tools.bench.prompts import PARAGRAPHS, PROMPTS, load_prompts, salted


def test_there_are_thirty_in_five_lengths() -> None:
    texts = load_prompts().texts
    assert len(texts) == len(set(texts)) == 30
    by_length = [texts[length :: len(PARAGRAPHS)] for length in range(len(PARAGRAPHS))]
    longest = [max(map(len, one)) for one in by_length]
    shortest = [min(map(len, one)) for one in by_length]
    assert all(shorter < longer for shorter, longer in zip(longest, shortest[1:], strict=False))


def test_they_have_a_licence() -> None:
    assert PROMPTS.read_text().startswith("# SPDX-License-Identifier: CC0-1.0\n")


def test_the_longest_fits_a_context_of_1024_tokens_with_its_answer() -> None:
    # English has rarely less than three characters a token.
    assert max(map(len, load_prompts().texts)) / 3 < 1024 + 128


def test_a_salted_prompt_begins_with_what_no_other_has() -> None:
    assert salted("text", "0a1b2c3d", 7) == "[0a1b2c3d-00007] text"
