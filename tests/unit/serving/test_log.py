"""The log: whole lines, and serving goes on without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from quant_llm_serving.log import Log


def test_events_are_json_and_other_lines_are_as_they_came(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log = Log()
    log.event("ready", model="m", path=Path("/m"))
    log.line(b"engine: \xff loaded")
    log.close()
    first, second = capfdbinary.readouterr().out.splitlines()
    entry = json.loads(first)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"level": "info", "message": "ready", "model": "m", "path": "/m"}
    assert second == b"engine: \xff loaded"


class FullDisk:
    """A standard output with no room left."""

    def __init__(self) -> None:
        self.attempts = 0

    def write(self, data: bytes) -> int:
        self.attempts += 1
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_stops_neither_the_log_nor_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=disk))
    log = Log()
    log.event("one")
    log.close()
    assert disk.attempts == 1
