"""A worker's memory is that of one part, whatever the model's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("worker.py")
ROOT = WORKER.parents[3]


def peak_rss_mib(megabytes: int) -> float:
    paths = os.pathsep.join(str(ROOT / root) for root in (".", "lambdas"))
    done = subprocess.run(
        [sys.executable, WORKER, str(megabytes)],
        env={**os.environ, "PYTHONPATH": paths, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        check=True,
    )
    return float(json.loads(done.stdout)["peak_rss_mib"])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_is_bounded_and_does_not_grow_with_the_model() -> None:
    small, large = peak_rss_mib(100), peak_rss_mib(600)
    assert large < 256
    assert large - small < 8
