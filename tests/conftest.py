"""How many workers `make test` shares the tests out among."""

from __future__ import annotations

import os
from typing import Final

import pytest

# A worker with jsii's Node has 1.6 GiB; the CDK CLI and llama.cpp, which its tests start, have 0.7 at a time.
WORKER_BYTES: Final = 3 * 2**30


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One a core for `--numprocesses auto`, and no more than the machine has memory for."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(os.cpu_count() or 1, memory // WORKER_BYTES))
