"""The time that a function has left."""

from __future__ import annotations

import math
from collections.abc import Callable

from quant_llm_repack.errors import OutOfTimeError


class Deadline:
    """Counts down to the moment when the work must stop, so that time is left to clean up and to answer."""

    def __init__(self, seconds_left: Callable[[], float] = lambda: math.inf) -> None:
        """Ask `seconds_left` how long there is; without it there is no end."""
        self._seconds_left = seconds_left

    def left(self) -> float:
        """Seconds left, 0 when it is over."""
        return max(0.0, self._seconds_left())

    def check(self) -> None:
        """Raise OutOfTimeError when it is over."""
        if not self.left():
            raise OutOfTimeError("the function's time is over")
