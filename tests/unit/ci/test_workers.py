"""As many workers for the tests as there are cores, and memory for them."""

from __future__ import annotations

import os

import pytest

from tests.conftest import WORKER_BYTES, pytest_xdist_auto_num_workers

PAGE = 4096


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [
        (2, 8 * WORKER_BYTES, 2),
        (4, 8 * WORKER_BYTES, 4),
        (16, 5.9 * WORKER_BYTES, 5),
        (4, 0.5 * WORKER_BYTES, 1),
        (None, 8 * WORKER_BYTES, 1),
    ],
)
def test_more_workers_than_cores_or_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, memory: float, workers: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(
        os, "sysconf", {"SC_PHYS_PAGES": int(memory / PAGE), "SC_PAGE_SIZE": PAGE}.__getitem__
    )
    assert pytest_xdist_auto_num_workers() == workers
