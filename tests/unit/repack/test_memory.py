"""A worker's memory is that of one part, whatever the model's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def peak_rss_mib(program: str, megabytes: int) -> float:
    paths = os.pathsep.join(str(ROOT / root) for root in (".", "lambdas"))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(program), str(megabytes)],
        env={**os.environ, "PYTHONPATH": paths, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        check=True,
    )
    return float(json.loads(done.stdout)["peak_rss_mib"])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("program", ["worker.py", "copy_worker.py"])
def test_memory_is_bounded_and_does_not_grow_with_the_model(program: str) -> None:
    small, large = peak_rss_mib(program, 200), peak_rss_mib(program, 600)  # both in parts of one length
    assert large < 256
    assert large - small < 8
