"""From values to places on an axis, and which values get a mark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 5)
_MOST_TICKS = 8


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` lie between the places `start` and `end`, the ticks among them."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(value)
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def from_zero(values: Iterable[float], start: float, end: float, *, ticks: int = 5) -> Scale:
    """From 0 to a round number that is at least the largest value."""
    largest = max(values, default=0) or 1
    step = _round_up(largest / ticks)
    count = math.ceil(largest / step - 1e-9)
    return Scale(0, count * step, start, end, [number * step for number in range(count + 1)])


def logarithmic(values: Iterable[float], start: float, end: float) -> Scale:
    """From a round number (1, 2 or 5 times a power of ten) to another, around all values above 0.

    It marks all of these, or the powers of ten alone where there are many.
    """
    known = [value for value in values if value > 0] or [1.0]
    low, high = _round_down(min(known)), _round_up(max(known))
    if low == high:
        low, high = low / 2, high * 2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [step * 10.0**power for power in powers for step in _STEPS]
    ticks = [tick for tick in every if low * 0.999 <= tick <= high * 1.001]
    if len(ticks) > _MOST_TICKS:
        ticks = [tick for tick in ticks if 10.0 ** round(math.log10(tick)) == tick]
    return Scale(low, high, start, end, ticks, logarithmic=True)


def at_values(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic axis with a mark at each of the values: concurrencies, mostly powers of two."""
    ticks = sorted(set(values)) or [1]
    low, high = ticks[0], ticks[-1]
    if low == high:
        low, high = low / 2, high * 2
    return Scale(low, high, start, end, ticks, logarithmic=True)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (*_STEPS, 10) if step * power >= value * (1 - 1e-9))


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in _STEPS if step * power <= value * (1 + 1e-9))
