"""/ping, which SageMaker asks every few seconds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.container.contract.endpoint import LONG, Endpoint


def test_a_healthy_container_says_so_within_two_seconds_under_load(endpoint: Endpoint) -> None:
    body = {**LONG, "max_tokens": 30}
    with ThreadPoolExecutor() as callers:
        answers = [callers.submit(endpoint.invoke, body) for _ in range(16)]
        answers.append(callers.submit(endpoint.invoke, b"x" * 20_000_000))
        slowest = 0.0
        while not all(answer.done() for answer in answers):
            started = time.monotonic()
            assert endpoint.ping() == 200
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.01)
    assert slowest < 2
    assert [answer.result()[0] for answer in answers] == [200] * 16 + [400]
