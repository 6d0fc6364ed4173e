"""The container's own metrics, in Prometheus' text format 0.0.4."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "quantllm_"
_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 480.0)


class Histogram:
    """How many seconds something took."""

    def __init__(self) -> None:
        """Nothing was observed yet."""
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count an observation."""
        self._counts[bisect.bisect_left(_BOUNDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str) -> Iterator[str]:
        """The samples: each bucket holds all that took no longer than its bound."""
        total = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What has been served. Routes are the engine's, or "none" for a request that reached none of them."""

    def __init__(self) -> None:
        """Nothing was served yet."""
        self._requests: Counter[tuple[str, int]] = Counter()
        self._prompt_tokens = 0
        self._generated_tokens = 0
        self._first_token = Histogram()
        self._duration = Histogram()

    def refused(self, status: int) -> None:
        """A request that the engine didn't see."""
        self._requests["none", status] += 1

    def served(
        self,
        *,
        route: str,
        status: int,
        seconds: float,
        first_token_seconds: float | None,
        prompt_tokens: int | None,
        generated_tokens: int | None,
    ) -> None:
        """A request that was for the engine; None is what isn't known of it."""
        self._requests[route, status] += 1
        self._duration.observe(seconds)
        if first_token_seconds is not None:
            self._first_token.observe(first_token_seconds)
        self._prompt_tokens += prompt_tokens or 0
        self._generated_tokens += generated_tokens or 0

    def text(self, *, slots: int, running: int, waiting: int, healthy: bool) -> bytes:
        """All samples; `running` and `waiting` are requests at this moment."""
        gauges = (
            ("healthy", "Whether /ping answers 200.", int(healthy)),
            ("slots", "How many requests the engine works on at once.", slots),
            ("requests_running", "Requests that the engine works on.", running),
            ("requests_waiting", "Requests that wait for a slot of the engine.", waiting),
        )
        return "".join(f"{line}\n" for line in (*_gauges(gauges), *self._lines())).encode()

    def _lines(self) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests answered, by the engine's route and status.")
        for (route, status), count in sorted(self._requests.items()):
            yield f'{_PREFIX}requests_total{{route="{route}",status="{status}"}} {count}'
        yield from _head("prompt_tokens_total", "counter", "Tokens of prompts.")
        yield f"{_PREFIX}prompt_tokens_total {self._prompt_tokens}"
        yield from _head("generated_tokens_total", "counter", "Tokens generated.")
        yield f"{_PREFIX}generated_tokens_total {self._generated_tokens}"
        for name, histogram, meaning in (
            ("time_to_first_token_seconds", self._first_token, "From the request to its first token."),
            ("request_seconds", self._duration, "From the request to the end of its answer."),
        ):
            yield from _head(name, "histogram", meaning)
            yield from histogram.lines(_PREFIX + name)


def _gauges(gauges: Iterable[tuple[str, str, int]]) -> Iterator[str]:
    for name, meaning, value in gauges:
        yield from _head(name, "gauge", meaning)
        yield f"{_PREFIX}{name} {value}"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {meaning}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
