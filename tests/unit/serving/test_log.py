"""The log: whole lines, and serving goes on without it."""

from __future__ import annotations

import json
import os
from pathlib import Path

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


def test_a_full_disk_stops_neither_the_log_nor_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        attempts.append(data)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    log = Log()
    log.event("one")
    log.close()
    assert len(attempts) == 1


def test_a_disk_with_room_for_some_bytes_gets_all_of_them_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    written = b""

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        written += data[:7]
        return len(data[:7])

    monkeypatch.setattr(os, "write", write)
    log = Log()
    log.line(b"a line that is longer than seven bytes")
    log.close()
    assert written == b"a line that is longer than seven bytes\n"
