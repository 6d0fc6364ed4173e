"""What a container does when its engine dies or hangs, and when it is told to go."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from tests.container.contract.conftest import Start
from tests.container.contract.container import Container
from tests.container.contract.endpoint import LONG, SHORT, CutOff, Refused, wait_until

STREAMS = 32


def last_event(container: Container, tokens: int, begun: SimpleQueue[float] | None = None) -> str:
    """The last data of a stream; when its first one came is put into `begun`."""
    last = ""
    for moment, data in container.stream({**LONG, "max_tokens": tokens}):
        if begun is not None and not last:
            begun.put(moment)
        last = data
    return last


def test_the_container_ends_within_five_seconds_of_its_engine(run: Start) -> None:
    container = run()
    streaming = container.stream(LONG)
    next(streaming)
    container.signal_engine(signal.SIGKILL)
    with pytest.raises((CutOff, ConnectionResetError)):
        list(streaming)
    assert container.wait_for_exit(5) == 4
    assert "ended with status" in container.entries[-1]["message"]


def test_a_hung_engine_is_503_until_it_goes_on(run: Start) -> None:
    container = run(SERVING_HEALTH_SECONDS="1")
    container.signal_engine(signal.SIGSTOP)
    try:
        unnoticed = container.post(SHORT)
        assert wait_until(lambda: container.ping() == 503, seconds=10) < 5
        status, answer = container.invoke(SHORT)
        assert (status, answer["error"]["message"]) == (503, "the engine does not answer its health check")
        assert container.request("GET", "/v1/models")[0] == 503
        assert container.metric("quantllm_healthy") == 0
    finally:
        container.signal_engine(signal.SIGCONT)
    wait_until(lambda: container.ping() == 200, seconds=10)
    assert unnoticed.getresponse().status == 200
    container.until_logged("the engine left a health check unanswered for 1 s")
    container.until_logged("the engine answers again")


def test_a_hung_engine_does_not_keep_the_container_from_ending(run: Start) -> None:
    container = run(SERVING_DRAIN_SECONDS="1")
    container.signal_engine(signal.SIGSTOP)
    connection = container.post(SHORT)
    wait_until(lambda: container.request("GET", "/ping")[0] == 200, seconds=2)
    container.terminate()
    assert container.wait_for_exit(10) == 0
    refused = connection.getresponse()
    assert refused.status == 503
    assert b"the container is shutting down" in refused.read()


def test_sigterm_lets_32_streams_finish_and_refuses_new_work(run: Start) -> None:
    container = run()
    with ThreadPoolExecutor(STREAMS) as callers:
        streams = [callers.submit(last_event, container, 10) for _ in range(STREAMS)]
        wait_until(lambda: container.running() == min(STREAMS, container.slots()), seconds=10)
        time.sleep(0.2)
        container.terminate()
        wait_until(lambda: container.ping() == 503, seconds=1)
        refused = container.post(SHORT).getresponse()
        assert (refused.status, refused.getheader("Retry-After")) == (503, "1")
        assert b"the container is shutting down" in refused.read()
        assert [stream.result(30) for stream in streams] == ["[DONE]"] * STREAMS
    assert container.wait_for_exit(5) == 0


def test_streams_that_outlast_the_drain_time_are_cut_off(run: Start) -> None:
    container = run(SERVING_DRAIN_SECONDS="0.5")
    slots = container.slots()
    with ThreadPoolExecutor(STREAMS) as callers:
        begun: SimpleQueue[float] = SimpleQueue()
        streams = [callers.submit(last_event, container, 900, begun) for _ in range(STREAMS)]
        wait_until(lambda: container.metric("quantllm_requests_waiting") == STREAMS - slots, seconds=10)
        for _ in range(slots):
            begun.get(timeout=30)
        container.terminate()
        assert container.wait_for_exit(10) == 0
        ends = [stream.exception(5) for stream in streams]
    refused = [end for end in ends if isinstance(end, Refused)]
    assert len(refused) == STREAMS - slots
    assert {end.args[0] for end in refused} == {503}  # they had waited
    assert all(isinstance(end, Refused | CutOff | ConnectionResetError) for end in ends)
    assert "requests are cut off 0.5 s after SIGTERM" in [entry["message"] for entry in container.entries]


def test_a_wrong_option_ends_the_container_at_the_start(start: Start) -> None:
    container = start(SERVING_DRAIN_SECOND="1")
    assert container.wait_for_exit(10) == 2
    assert "did you mean SERVING_DRAIN_SECONDS" in container.entries[-1]["message"]
