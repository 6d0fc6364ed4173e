"""More than there is room or time for."""

from __future__ import annotations

import time

import pytest

from tests.container.contract.conftest import Start
from tests.container.contract.endpoint import LONG, SHORT, CutOff, wait_until


def test_a_full_queue_is_429_and_who_waits_gets_his_turn(run: Start) -> None:
    container = run(SERVING_QUEUE_LENGTH="2")
    slots = container.slots()
    busy = [container.post({**LONG, "stream": number % 2 == 0}) for number in range(slots)]
    wait_until(lambda: container.running() == slots, seconds=5)
    waiting = [container.post(SHORT), container.post(SHORT)]
    wait_until(lambda: container.metric("quantllm_requests_waiting") == 2, seconds=5)

    refused = container.post(SHORT).getresponse()
    assert (refused.status, refused.getheader("Retry-After")) == (429, "1")
    assert b"rate_limit_error" in refused.read()
    assert container.ping() == 200

    waiting[0].close()  # leaves the queue
    wait_until(lambda: container.metric("quantllm_requests_waiting") == 1, seconds=1)
    for connection in busy:
        connection.close()
    assert waiting[1].getresponse().status == 200
    assert container.metric('quantllm_requests_total{route="none",status="429"}') == 1


def test_a_request_that_takes_too_long_is_ended_and_frees_its_slot(run: Start) -> None:
    container = run(SERVING_REQUEST_SECONDS="1", SERVING_STREAM_SECONDS="0.5")
    started = time.monotonic()
    status, answer = container.invoke(LONG)
    assert (status, answer["error"]["type"]) == (504, "timeout_error")
    assert answer["error"]["message"] == "the answer was not complete after 1 s"
    assert 1 <= time.monotonic() - started < 2
    with pytest.raises((CutOff, ConnectionResetError)):
        list(container.stream(LONG))  # nobody takes a part for the whole
    assert container.running() == 0
    assert container.invoke(SHORT)[0] == 200
