"""Streams: passed on token by token, and given up when nobody reads them."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

from tests.container.conftest import Run
from tests.container.container import Container, wait_until

INTERVAL = 0.1


def stream(tokens: int, interval: float = INTERVAL, padding: int = 0) -> bytes:
    stub = {"tokens": tokens, "interval": interval, "padding": padding}
    return json.dumps({"prompt": "x", "stream": True, "stub": stub}).encode()


def events(container: Container, body: bytes) -> Iterator[tuple[float, str]]:
    """Each line of data and when it arrived."""
    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=10)
    try:
        connection.request("POST", "/invocations", body=body)
        answer = connection.getresponse()
        assert answer.getheader("Content-Type") == "text/event-stream"
        for line in answer:
            if line.startswith(b"data: "):
                yield time.monotonic(), line.decode().removeprefix("data: ").strip()
    finally:
        connection.close()


def running(container: Container) -> int:
    _, text = container.request("GET", "/metrics")
    return int(str(text).split()[1])


def test_tokens_arrive_as_they_are_generated(shared: Container) -> None:
    arrived = list(events(shared, stream(6)))
    assert [json.loads(text)["text"] for _, text in arrived[:-1]] == [" token"] * 6
    assert arrived[-1][1] == "[DONE]"
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(arrived[:6])]
    assert min(gaps) > INTERVAL / 3  # none waited for the next


def test_a_caller_who_leaves_a_stream_frees_the_engine_within_a_second(shared: Container) -> None:
    arriving = events(shared, stream(1000))
    next(arriving)
    assert running(shared) == 1
    arriving.close()  # type: ignore[attr-defined] # a generator, told as what its users need
    wait_until(lambda: running(shared) == 0, seconds=1)
    shared.until_logged('"outcome": "the caller left"')


def test_a_stream_of_a_caller_who_reads_slowly_waits_in_the_engine(run: Run) -> None:
    container = run()
    tokens, padding = 300, 200_000  # 60 MB, more than all sockets on the way hold
    with container.connect() as connection:
        body = stream(tokens, interval=0, padding=padding)
        head = f"POST /invocations HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        time.sleep(1)
        assert running(container) == 1
        assert _resident_megabytes(container) < 60
        received = 0
        while data := connection.recv(1 << 20):
            received += len(data)
    assert received > tokens * padding


def test_a_caller_of_http_1_0_gets_the_bare_body(shared: Container) -> None:
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


def _resident_megabytes(container: Container) -> float:
    status = Path(f"/proc/{container.process.pid}/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kilobytes) / 1024
