"""Numbers on the command line, refused with what was got and expected: for argparse's `type`."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """What reads a whole number of `least` or more."""

    def number(text: str) -> int:
        value = int(text) if text.isascii() and text.isdecimal() else least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number of {least} or more")
        return value

    return number
