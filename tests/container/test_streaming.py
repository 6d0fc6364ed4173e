"""Streams that put the buffers to the test, and what the engine sees of callers who leave."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.container.conftest import Run
from tests.container.contract.endpoint import wait_until
from tests.container.process import ProcessContainer


def stream(tokens: int, interval: float, padding: int = 0) -> bytes:
    stub = {"tokens": tokens, "interval": interval, "padding": padding}
    return json.dumps({"prompt": "x", "stream": True, "stub": stub}).encode()


def at_work(container: ProcessContainer) -> int:
    """How many requests the engine itself says it has."""
    _, text = container.request("GET", "/metrics")
    found = re.search(r"^stub_requests_running (\d+)$", str(text), re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole answer"])
def test_the_engine_loses_a_request_whose_caller_leaves(shared: ProcessContainer, streamed: bool) -> None:
    stub = {"tokens": 1000, "interval": 0.1}
    connection = shared.post({"prompt": "x", "stream": streamed, "stub": stub})
    wait_until(lambda: at_work(shared) == 1, seconds=5)
    connection.close()
    wait_until(lambda: at_work(shared) == 0, seconds=1)
    shared.until_logged('"outcome": "the caller left"')


def test_a_stream_of_a_caller_who_reads_slowly_waits_in_the_engine(run: Run) -> None:
    container = run()
    tokens, padding = 300, 200_000  # 60 MB, more than all sockets on the way hold
    with container.connect() as connection:
        body = stream(tokens, interval=0, padding=padding)
        head = f"POST /invocations HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        time.sleep(1)
        assert at_work(container) == 1
        assert _resident_megabytes(container) < 60
        received = 0
        while data := connection.recv(1 << 20):
            received += len(data)
    assert received > tokens * padding


def test_a_caller_of_http_1_0_gets_the_bare_body(shared: ProcessContainer) -> None:
    with shared.connect() as connection:
        body = stream(3, interval=0)
        head = f"POST /invocations HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    head_lines, _, text = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head_lines
    assert text.startswith(b"data: {")
    assert text.endswith(b"data: [DONE]\n\n")


def _resident_megabytes(container: ProcessContainer) -> float:
    status = Path(f"/proc/{container.pid}/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kilobytes) / 1024
