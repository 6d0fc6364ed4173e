"""A text's tokens, cut to the windows that a model is calibrated or measured with."""

from __future__ import annotations

import random
from collections.abc import Sequence


def calibration_windows(tokens: Sequence[int], length: int, count: int, seed: int) -> list[list[int]]:
    """At most `count` windows of `length` tokens, no two of which overlap, chosen and ordered by `seed`.

    Raises ValueError when there is not one whole window.
    """
    starts = list(range(0, len(tokens) - length + 1, length))
    if not starts:
        raise ValueError(f"the calibration text has {len(tokens)} tokens, expected at least {length}")
    random.Random(seed).shuffle(starts)  # noqa: S311 - a choice of text, no secret
    return [list(tokens[start : start + length]) for start in starts[:count]]


def measured_windows(tokens: Sequence[int], length: int, bos: int | None) -> list[list[int]]:
    """All whole windows of `length` tokens, the first token of each being `bos` where the model wants one.

    As in llama.cpp's tools/perplexity. Raises ValueError below two windows, as it does.
    """
    tokens = tokens if bos is None else [bos, *tokens]
    if len(tokens) < 2 * length:
        raise ValueError(f"the evaluation text has {len(tokens)} tokens, expected at least {2 * length}")
    windows = [list(tokens[at : at + length]) for at in range(0, len(tokens) - length + 1, length)]
    for window in windows:
        window[0] = window[0] if bos is None else bos
    return windows
