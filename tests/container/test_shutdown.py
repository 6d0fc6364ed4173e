"""SIGTERM with nothing to finish, and with no answer yet; `contract/test_faults.py` has the rest."""

from __future__ import annotations

import subprocess
from contextlib import closing

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


@pytest.mark.parametrize("streamed", [True, False])
def test_a_request_without_an_answer_at_the_cut_off_is_left_to_another_container(
    run: Run, streamed: bool
) -> None:
    container = run(SERVING_DRAIN_SECONDS="0.2")
    with closing(container.post({"prompt": "x", "stream": streamed, "stub": {"do": "hang"}})) as connection:
        wait_until(lambda: container.running() == 1, seconds=5)
        container.terminate()
        refused = connection.getresponse()
        assert (refused.status, refused.getheader("Retry-After")) == (503, "1")
        assert b"the container is shutting down" in refused.read()
    assert container.wait_for_exit(10) == 0
    (entry,) = [entry for entry in container.entries if entry["message"] == "request"]
    assert (entry["status"], entry["outcome"]) == (503, "the container is shutting down")
