"""How the work divides over workers, on a virtual clock."""

from __future__ import annotations

from benchmarks.repack_simulation import virtual_seconds


def test_more_workers_take_less_time_in_proportion() -> None:
    alone = virtual_seconds(1, files=20)
    assert alone / virtual_seconds(5, files=20) > 0.9 * 5
