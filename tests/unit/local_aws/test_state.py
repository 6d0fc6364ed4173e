from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from quant_llm_tools.local_aws.state import State, process_start, running, running_environment


def state(pid: int, started: str) -> State:
    return State(pid, started, "http://localhost:1", "http://localhost:2", {"AWS_REGION": "us-east-1"})


def test_the_state_of_a_living_process_is_found(tmp_path: Path) -> None:
    started = process_start(os.getpid())
    assert started is not None
    state(os.getpid(), started).write(tmp_path)
    found = running(tmp_path)
    assert found is not None
    assert found.endpoint_url == "http://localhost:1"
    assert running_environment(tmp_path) == {"AWS_REGION": "us-east-1"}


def test_a_recycled_process_id_is_not_taken_for_it(tmp_path: Path) -> None:
    state(os.getpid(), "long ago").write(tmp_path)
    assert running(tmp_path) is None


def test_a_process_that_has_ended_is_not_running_even_if_nobody_waited_for_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = process_start(process.pid)
        assert started is not None
        state(process.pid, started).write(tmp_path)
        assert running(tmp_path) is not None
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert running(tmp_path) is None


def test_no_file_and_a_broken_file_are_no_state(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    (tmp_path / "state.json").write_text("{")
    assert running(tmp_path) is None
    (tmp_path / "state.json").write_text('{"pid": 1}')
    assert running_environment(tmp_path) is None
