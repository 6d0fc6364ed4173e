"""Is the engine's count of tokens to be believed? Two other counts of the same answers stand beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from quant_llm_tools.bench.asking import Answer
from quant_llm_tools.bench.results import TokenCheck

ANSWERS = 5
TOLERANCE = 0.1
"""A text has more ways than one to be cut into tokens, and control tokens have no text."""

_ONE_TOKEN = "a"  # noqa: S105 - a text


async def check_tokens(
    answers: Iterable[Answer], prompt_tokens: Callable[[str], Awaitable[int | None]]
) -> TokenCheck | None:
    """Count some answers' tokens again; None if the engine told no usage.

    `prompt_tokens` has a text counted as a prompt, which any endpoint can do: so the engine's tokenizer
    checks its generator. What it puts around a prompt is found by one of a single token, and taken off.
    """
    checked = [one for one in answers if one.error is None and one.output_tokens is not None][:ANSWERS]
    if not checked:
        return None
    usage = sum(one.output_tokens or 0 for one in checked)
    pieces = sum(len(one.arrivals) for one in checked)
    retokenised = await _retokenised([one.text for one in checked], prompt_tokens)
    nearest = min((abs(count - usage) for count in (pieces, retokenised) if count is not None), default=usage)
    return TokenCheck(
        answers=len(checked),
        usage=usage,
        pieces=pieces,
        retokenised=retokenised,
        agrees=nearest <= TOLERANCE * usage,
    )


async def _retokenised(texts: list[str], prompt_tokens: Callable[[str], Awaitable[int | None]]) -> int | None:
    one = await prompt_tokens(_ONE_TOKEN)
    counts = [await prompt_tokens(text) for text in texts]
    known = [count for count in counts if count is not None]
    if one is None or len(known) < len(texts):
        return None
    return sum(known) - (one - 1) * len(texts)
