"""The arithmetic of benchmarks/adapter.py."""

from __future__ import annotations

from benchmarks.adapter_comparison import Cost, Sample, cost


def test_a_way_is_compared_with_the_direct_one_of_its_own_round() -> None:
    # The machine was busy in the second round: it slowed both ways, which costs the way nothing.
    direct = [Sample(3200, 1.0), Sample(1600, 9.0), Sample(3200, 1.0)]
    way = [Sample(3136, 3.0), Sample(1568, 11.0), Sample(3136, 3.0)]
    assert cost(direct, way) == Cost(ratio=0.98, added_ms=2.0)


def test_one_round_out_of_three_that_went_wrong_does_not_count() -> None:
    direct = [Sample(3000, 1.0)] * 3
    way = [Sample(3000, 2.0), Sample(1000, 400.0), Sample(3000, 2.0)]
    assert cost(direct, way) == Cost(ratio=1.0, added_ms=1.0)
