"""Holds a transfer to a network's rate, so that it and not the processor is what a worker waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from quant_llm_tools.local_aws.hub.content import Content


@dataclass
class Pace:
    """One transfer at no more than so many bytes a second; None is as fast as it goes."""

    bytes_per_second: float | None
    _began: float = field(default_factory=time.perf_counter)
    _moved: int = 0

    def moved(self, count: int) -> None:
        """Wait until the transfer may have got so far."""
        if self.bytes_per_second is None:
            return
        self._moved += count
        time.sleep(max(0.0, self._began + self._moved / self.bytes_per_second - time.perf_counter()))


@dataclass(frozen=True)
class PacedContent:
    """Content whose every read is held to a rate."""

    content: Content
    bytes_per_second: float

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.content.size

    def chunks(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `end`."""
        pace = Pace(self.bytes_per_second)
        for chunk in self.content.chunks(start, end):
            yield chunk
            pace.moved(len(chunk))
