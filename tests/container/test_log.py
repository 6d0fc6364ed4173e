"""Serving goes on where the log can't."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.container.conftest import Run
from tests.container.contract.endpoint import wait_until


def test_a_full_disk_for_the_log_stops_nothing(run: Run) -> None:
    container = run(Path("/dev/full"))
    for _ in range(50):
        assert container.invoke({"prompt": "x"})[0] == 200
    assert container.ping() == 200
    container.terminate()
    assert container.wait_for_exit(5) == 0


@pytest.mark.usefixtures("model")
def test_the_exit_code_is_told_on_a_full_disk_as_well(start: Run) -> None:
    assert start(Path("/dev/full"), MODEL="other.gguf").wait_for_exit(5) == 3


def test_a_log_that_nobody_reads_stops_nothing(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        container = run(pipe)
        headers = {"X-Amzn-SageMaker-Inference-Id": "x" * 256}
        for _ in range(300):  # more than the pipe's 64 KiB
            assert container.invoke({"prompt": "x"}, headers)[0] == 200
        container.terminate()
        assert container.wait_for_exit(8) == 0
    finally:
        os.close(reader)


def test_an_engine_that_writes_a_lot_is_not_held_up(run: Run) -> None:
    container = run(Path("/dev/full"), STUB_CHATTER="5000")
    caller = threading.Thread(target=container.invoke, args=[{"prompt": "x"}])
    caller.start()
    wait_until(lambda: not caller.is_alive(), seconds=10)
    assert container.ping() == 200
