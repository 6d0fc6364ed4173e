"""The thread that drives the backend, and does nothing else: between two steps the GPU is idle."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial

from quant_llm_exllama.backend import Backend, Event, Job

Deliver = Callable[[list[Event]], None]


class Generator:
    """Jobs in, events out. `start` and `cancel` may be called from any thread, and return at once."""

    def __init__(
        self,
        load: Callable[[], Backend],
        *,
        on_ready: Callable[[Backend], None],
        on_events: Deliver,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Load the backend, then generate. All callbacks are called in the generator's thread.

        `on_events` gets the events of one step at once. After `on_failure` there is nothing more to come.
        """
        self._load = load
        self._on_ready = on_ready
        self._on_events = on_events
        self._on_failure = on_failure
        self._orders: queue.SimpleQueue[Callable[[Backend], None]] = queue.SimpleQueue()
        self._unfinished: set[Job] = set()
        threading.Thread(target=self._run, name="generator", daemon=True).start()

    def start(self, job: Job) -> None:
        """Generate `job`."""
        self._orders.put(partial(self._start, job))

    def cancel(self, job: Job) -> None:
        """Forget `job`, if it has not finished yet; events that are on their way may still arrive."""
        self._orders.put(partial(self._cancel, job))

    def between_steps(self, told: Callable[[], object]) -> None:
        """Call `told` in the generator's thread as soon as no step goes on."""
        self._orders.put(partial(_tell, told))

    def _run(self) -> None:
        try:
            backend = self._load()
            self._on_ready(backend)
            while True:
                self._take_orders(backend)
                events = backend.step()
                if events:
                    self._unfinished.difference_update(event.job for event in events if event.finish)
                    self._on_events(events)
        except BaseException as error:
            self._on_failure(error)

    def _take_orders(self, backend: Backend) -> None:
        """All that have come; with nothing to generate, wait for one."""
        while not self._unfinished or not self._orders.empty():
            self._orders.get()(backend)

    def _start(self, job: Job, backend: Backend) -> None:
        self._unfinished.add(job)
        backend.start(job)

    def _cancel(self, job: Job, backend: Backend) -> None:
        if job in self._unfinished:
            self._unfinished.remove(job)
            backend.cancel(job)


def _tell(told: Callable[[], object], backend: Backend) -> None:
    told()
