"""Whether two measured speeds differ, or only seem to.

A run's requests, in the order in which they were due, are cut into `BATCHES` parts of the same size, which in
the article's protocol are its rounds. Each part's mean rate is one observation: requests that follow each
other are too much alike to be one each ("batch means": A. M. Law, Simulation Modeling and Analysis, 9.5.3).
The interval of the ratio of two runs' means is Welch's, with the degrees of freedom of the smaller side and
the delta method for the logarithm of the ratio.

What it can't see is what stays the same during a run: another instance, another day.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from quant_llm_tools.bench.measures import stream_rate
from quant_llm_tools.bench.results import Request

CONFIDENCE = 0.95
BATCHES = 5
LEAST_REQUESTS = 2 * BATCHES
"""With fewer on either side, no interval is told."""

_STUDENTS_T = 2.776  # of 0.975, with BATCHES - 1 degrees of freedom


@dataclass(frozen=True)
class Ratio:
    """Mean of one over mean of the other, and the bounds of its interval at `CONFIDENCE`, None if unknown."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_noise(self) -> bool | None:
        """Whether the interval holds 1: then nothing is known to differ. None without an interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= 1 <= self.high


def ratio_of_rates(ours: Sequence[Request], theirs: Sequence[Request]) -> Ratio | None:
    """Our mean tokens a second of a stream over theirs; None if either has no answer.

    The measure is `stream_rate`, over all requests that went well.
    """
    above, below = _rates(ours), _rates(theirs)
    if not above or not below or not all((fmean(above), fmean(below))):
        return None
    value = fmean(above) / fmean(below)
    if min(len(above), len(below)) < LEAST_REQUESTS:
        return Ratio(value)
    spread = math.exp(_STUDENTS_T * math.hypot(_relative_error(above), _relative_error(below)))
    return Ratio(value, value / spread, value * spread)


def _rates(requests: Sequence[Request]) -> list[float]:
    well = (request for request in requests if request.error is None)
    return [stream_rate(request) for request in sorted(well, key=lambda request: request.due_s)]


def _relative_error(rates: Sequence[float]) -> float:
    """The standard error of the mean, by batches, over the mean."""
    bounds = [number * len(rates) // BATCHES for number in range(BATCHES + 1)]
    means = [fmean(rates[start:end]) for start, end in itertools.pairwise(bounds)]
    return stdev(means) / math.sqrt(BATCHES) / fmean(rates)
