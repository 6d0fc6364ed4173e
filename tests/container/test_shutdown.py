"""SIGTERM when there is nothing to finish; `contract/test_faults.py` has the rest."""

from __future__ import annotations

import subprocess

import pytest

from tests.container.conftest import Run
from tests.container.contract.endpoint import wait_until


def test_sigterm_without_work_ends_the_container_and_its_engine_at_once(run: Run) -> None:
    container = run()
    group = str(container.pid)
    container.terminate()
    assert container.wait_for_exit(3) == 0
    assert subprocess.run(["pgrep", "-g", group], capture_output=True, check=False).stdout == b""


@pytest.mark.usefixtures("model")
def test_sigterm_while_the_model_is_loading(start: Run) -> None:
    container = start(STUB_LOAD_SECONDS="60")
    wait_until(lambda: container.ping() == 503, seconds=10)
    container.terminate()
    assert container.wait_for_exit(3) == 0
