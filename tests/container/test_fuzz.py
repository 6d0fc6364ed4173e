"""A part of what `python -m tests.container.fuzz` sends, small enough for every run."""

from __future__ import annotations

import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.container import fuzz
from tests.container.contract.endpoint import Endpoint
from tests.container.process import ProcessContainer


def test_bytes_that_nobody_means_well(shared: ProcessContainer) -> None:
    statuses = fuzz.raw(shared, requests=300, seed=1)
    assert {200, 400} <= set(statuses)
    assert max(statuses) < 500
    assert shared.ping() == 200


def test_requests_made_from_the_description(shared: ProcessContainer) -> None:
    statuses = fuzz.described(shared, requests=200, seed=1)
    assert {200, 400} <= set(statuses)
    assert shared.ping() == 200


def test_the_same_seed_sends_the_same_bytes() -> None:
    first, second, other = (fuzz.raw_request(random.Random(seed)) for seed in (5, 5, 6))  # noqa: S311
    assert first == second != other


class Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_error(500)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_5xx_is_found() -> None:
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(fuzz.Found, match=r"\[500\]"):
                fuzz.exchange(Endpoint(f"http://127.0.0.1:{server.server_port}"), [b"GET / HTTP/1.1\r\n\r\n"])
        finally:
            server.shutdown()
            thread.join()
