"""The generator's thread: it waits without work, takes orders between steps, and tells when it fails."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import pytest

from quant_llm_exllama.backend import Backend, Event, Job, Limits, Sampling
from quant_llm_exllama.generator import Generator


def job() -> Job:
    return Job(prompt=[1], max_tokens=1, stop_tokens=frozenset(), sampling=Sampling())


class Stepped:
    """A backend whose steps the test lets through one by one, with the events that it gives."""

    limits = Limits(context_length=10, slots=2)

    def __init__(self) -> None:
        self.told: list[tuple[str, Job]] = []
        self.calls = 0
        self.steps: queue.SimpleQueue[list[Event] | Exception] = queue.SimpleQueue()

    def start(self, job: Job) -> None:
        self.told.append(("start", job))

    def cancel(self, job: Job) -> None:
        self.told.append(("cancel", job))

    def step(self) -> list[Event]:
        self.calls += 1
        events = self.steps.get(timeout=5)
        if isinstance(events, Exception):
            raise events
        return events


class Driven:
    """A generator on such a backend, and all that it called back."""

    def __init__(self, load: Callable[[], Backend] | None = None) -> None:
        self.backend = Stepped()
        self.events: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        self.failures: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self.ready = threading.Event()
        self.generator = Generator(
            load or (lambda: self.backend),
            on_ready=lambda _: self.ready.set(),
            on_events=self.events.put,
            on_failure=self.failures.put,
        )

    def end(self) -> None:
        """Let the thread end, by a failure."""
        self.backend.steps.put(RuntimeError("the end of the test"))
        self.generator.start(job())
        assert "end of the test" in str(self.failures.get(timeout=5))


def test_events_of_a_step_come_at_once() -> None:
    driven = Driven()
    first, second = job(), job()
    events = [Event(first, [1], finish="length"), Event(second, [2])]
    driven.generator.start(first)
    driven.backend.steps.put(events)
    assert driven.events.get(timeout=5) == events
    driven.end()


def test_a_step_without_events_is_not_told() -> None:
    driven = Driven()
    only = job()
    driven.generator.start(only)
    driven.backend.steps.put([])
    driven.backend.steps.put([Event(only, [1], finish="stop")])
    assert driven.events.get(timeout=5)[0].finish == "stop"
    driven.end()


def test_with_nothing_to_generate_there_is_no_step() -> None:
    driven = Driven()
    only = job()
    driven.generator.start(only)
    driven.backend.steps.put([Event(only, [1], finish="stop")])
    driven.events.get(timeout=5)
    time.sleep(0.05)
    assert driven.backend.calls == 1
    driven.end()


def test_a_job_is_cancelled_between_steps_and_then_nothing_runs() -> None:
    driven = Driven()
    only, next_one = job(), job()
    driven.generator.start(only)
    driven.generator.cancel(only)
    driven.backend.steps.put([Event(next_one, [1], finish="length")])
    driven.generator.start(next_one)
    driven.events.get(timeout=5)
    assert ("cancel", only) in driven.backend.told
    driven.generator.cancel(next_one)  # finished: nothing to cancel
    driven.end()
    assert ("cancel", next_one) not in driven.backend.told


def test_what_waits_for_the_end_of_a_step_is_told_then_and_without_work_at_once() -> None:
    driven = Driven()
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    driven.generator.between_steps(lambda: told.put("idle"))
    assert told.get(timeout=5) == "idle"
    only = job()
    driven.generator.start(only)
    while not driven.backend.calls:
        time.sleep(0.001)
    driven.generator.between_steps(lambda: told.put("stepped"))
    with pytest.raises(queue.Empty):
        told.get(timeout=0.1)
    driven.backend.steps.put([Event(only, [1], finish="stop")])
    assert told.get(timeout=5) == "stepped"
    driven.end()


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), MemoryError()])
def test_a_failure_is_told(error: Exception) -> None:
    driven = Driven()
    driven.backend.steps.put(error)
    driven.generator.start(job())
    assert driven.failures.get(timeout=5) is error
    assert driven.ready.is_set()


def test_a_model_that_can_not_be_loaded_is_told() -> None:
    def load() -> Backend:
        raise RuntimeError("no room")

    driven = Driven(load)
    assert str(driven.failures.get(timeout=5)) == "no room"
    assert not driven.ready.is_set()
