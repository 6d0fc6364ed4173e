"""What the benchmark of synth makes of its measurements."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.synth_run import GOAL_RSS_MIB, GOAL_SECONDS, Synth, _resident_bytes, growth, reached

ONE, TEN = Synth(1, 2.0, 300), Synth(10, 3.8, 320)


@pytest.mark.parametrize(
    ("seconds", "peak", "well"),
    [(30.0, 600.0, True), (30.1, 600.0, False), (30.0, 600.1, False)],
)
def test_goal_is_for_fifty_agencies(seconds: float, peak: float, well: bool) -> None:
    assert (GOAL_SECONDS, GOAL_RSS_MIB) == (30.0, 600.0)
    assert reached([ONE, TEN, Synth(50, seconds, peak)]) is well
    assert reached([ONE, TEN]) is None


def test_growth_is_one_when_each_agency_costs_the_same() -> None:
    assert growth([ONE, TEN, Synth(50, 11.8, 400)]) == pytest.approx(1.0)
    assert growth([ONE, TEN, Synth(50, 19.8, 400)]) == pytest.approx(2.0)
    assert growth([ONE, TEN]) is None


def test_memory_of_a_child_counts() -> None:
    """A child of a child holds 64 MiB; what holds nothing is small beside it."""
    hold = "import sys; held = b'x' * (64 << 20); print('held', flush=True); sys.stdin.read()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        held = _resident_bytes(process.pid)
        process.communicate()
    assert 64 << 20 < held < 160 << 20
    assert _resident_bytes(os.getpid()) > 0
