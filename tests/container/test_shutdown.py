"""SIGTERM: no new work, what runs may finish, then out."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time

import pytest

from tests.container.conftest import Run
from tests.container.container import Container, wait_until


class Caller(threading.Thread):
    """A request in the background."""

    def __init__(self, container: Container, seconds: float) -> None:
        super().__init__()
        stub = {"tokens": int(seconds * 20), "interval": 0.05}
        self._body = json.dumps({"prompt": "x", "stream": True, "stub": stub}).encode()
        self._connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=30)
        self.text = b""
        self.error: Exception | None = None
        self.start()
        wait_until(lambda: container.request("GET", "/metrics")[1] == "stub_requests_running 1\n", seconds=5)

    def run(self) -> None:
        self._connection.request("POST", "/invocations", body=self._body)
        try:
            self.text = self._connection.getresponse().read()
        except (http.client.HTTPException, OSError) as error:
            self.error = error
        finally:
            self._connection.close()


def test_sigterm_lets_a_stream_finish_and_refuses_new_work(run: Run) -> None:
    container = run()
    caller = Caller(container, seconds=2)
    container.terminate()
    wait_until(lambda: container.ping() == 503, seconds=1)
    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=5)
    connection.request("POST", "/invocations", body=b'{"prompt": "x"}')
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Retry-After")) == (503, "1")
    assert json.loads(answer.read())["error"]["message"] == "the container is shutting down"
    connection.close()
    caller.join()
    assert caller.text.endswith(b"data: [DONE]\n\n")
    assert container.wait_for_exit(3) == 0


def test_a_stream_that_outlasts_the_drain_time_is_cut_off(run: Run) -> None:
    container = run(SERVING_DRAIN_SECONDS="0.5")
    caller = Caller(container, seconds=20)
    started = time.monotonic()
    container.terminate()
    assert container.wait_for_exit(5) == 0
    assert time.monotonic() - started > 0.5
    caller.join()
    assert isinstance(caller.error, http.client.IncompleteRead | ConnectionResetError)
    assert "requests are cut off 0.5 s after SIGTERM" in [entry["message"] for entry in container.entries]


def test_sigterm_without_work_ends_the_container_and_its_engine_at_once(run: Run) -> None:
    container = run()
    group = str(container.process.pid)
    container.terminate()
    assert container.wait_for_exit(3) == 0
    assert subprocess.run(["pgrep", "-g", group], capture_output=True, check=False).stdout == b""


@pytest.mark.usefixtures("model")
def test_sigterm_while_the_model_is_loading(start: Run) -> None:
    container = start(STUB_LOAD_SECONDS="60")
    wait_until(lambda: container.ping() == 503, seconds=10)
    container.terminate()
    assert container.wait_for_exit(3) == 0
