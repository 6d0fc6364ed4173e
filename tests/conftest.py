"""Workers of `make test`, Hypothesis on a machine that is busy, and programs that can be interrupted."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# An example that takes long tells of the machine: no test here means Hypothesis' deadline. In CI it has none
# anyway, and what else is set there stays.
settings.register_profile(
    "busy", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")

# A worker with jsii's Node has 1.6 GiB; the CDK CLI and llama.cpp, which its tests start, have 0.7 at a time.
WORKER_BYTES: Final = 3 * 2**30


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One a core for `--numprocesses auto`, and no more than the machine has memory for."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(os.cpu_count() or 1, memory // WORKER_BYTES))


def pytest_configure() -> None:
    """Let what tests start be interrupted: a shell has SIGINT ignored in its background jobs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
