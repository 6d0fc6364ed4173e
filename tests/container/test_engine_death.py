"""When the engine dies the container goes with it, and says why."""

from __future__ import annotations

import http.client
import os
from pathlib import Path

import pytest

from tests.container.conftest import Run

DEATH_SECONDS = 5.0


def test_the_container_ends_with_the_engine_and_the_caller_is_told(run: Run) -> None:
    container = run()
    status, answer = container.invoke({"prompt": "x", "stub": {"do": "die"}})
    assert (status, answer["error"]["type"]) == (502, "server_error")
    assert container.wait_for_exit(DEATH_SECONDS) == 4
    last = container.entries[-1]
    assert last["message"] == "llama.cpp ended with status 134: stub: out of memory, giving up"
    assert last["last_lines"][-1] == "stub: out of memory, giving up"
    assert container.log.splitlines()[-1].startswith('{"time"')  # hosts show the log's last line


def test_a_stream_that_the_engine_did_not_finish_is_broken_off_not_ended(run: Run) -> None:
    container = run()
    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=10)
    body = b'{"prompt": "x", "stream": true, "stub": {"do": "die late", "tokens": 100}}'
    connection.request("POST", "/invocations", body=body)
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    connection.close()
    assert container.wait_for_exit(DEATH_SECONDS) == 4


@pytest.mark.usefixtures("model")
def test_an_engine_that_ends_at_the_start_gives_its_reason(start: Run) -> None:
    container = start(STUB_LOAD_SECONDS="not a number")
    assert container.wait_for_exit(10) == 4
    assert "llama.cpp ended with status 1: ValueError" in container.entries[-1]["message"]


@pytest.mark.usefixtures("model")
def test_an_engine_that_is_not_installed_is_named(start: Run, tmp_path: Path) -> None:
    container = start(PATH=f"{tmp_path}{os.pathsep}/usr/bin")
    assert container.wait_for_exit(10) == 4
    assert container.entries[-1]["message"] == "llama-server can't be started: No such file or directory"
