"""How long to wait before the next try."""

from __future__ import annotations

import random

_RANDOM = random.SystemRandom()


def full_jitter(failures: int, *, base_seconds: float = 0.5, cap_seconds: float = 20.0) -> float:
    """Seconds to wait after `failures` in a row (from 1): uniform in [0, min(cap, base * 2^(failures - 1))].

    "Full jitter" spreads workers that failed together better than a fixed exponential wait:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return _RANDOM.uniform(0.0, min(cap_seconds, base_seconds * 2.0 ** (failures - 1)))
