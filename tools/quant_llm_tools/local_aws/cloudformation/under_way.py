"""Resources that have been begun and take their time: each is waited for in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from quant_llm_tools.local_aws.cloudformation.stack import Resource
from quant_llm_tools.local_aws.resources.request import Request
from quant_llm_tools.local_aws.waiting import ResourceFailed

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 15
"""CloudFormation asks a service from time to time how a resource is: so much sooner it hears a signal."""


@dataclass(frozen=True)
class Begun:
    """A resource and the status that it is to reach.

    `asked_for` is one whose service CloudFormation asks; it can't be changed or removed before it has ended.
    """

    resource: Resource
    request: Request
    status: str
    asked_for: bool
    thread: threading.Thread

    @property
    def doing(self) -> str:
        """CREATE or UPDATE."""
        return self.status.removesuffix("_COMPLETE")


class UnderWay:
    """What has been begun, by logical id; `heed_stop` raises when the embedded AWS goes down."""

    def __init__(self, heed_stop: Callable[[], None]) -> None:
        self._heed_stop = heed_stop
        self._begun: dict[str, Begun] = {}
        self._ended: queue.SimpleQueue[tuple[str, ResourceFailed | None]] = queue.SimpleQueue()

    @property
    def names(self) -> set[str]:
        """The logical ids."""
        return set(self._begun)

    def begin(
        self, resource: Resource, request: Request, status: str, wait: Callable[[], None], *, asked_for: bool
    ) -> None:
        """Wait for a resource beside the others."""

        def work() -> None:
            failure: ResourceFailed | None = None
            try:
                wait()
            except ResourceFailed as error:
                failure = error
            except Exception as error:
                _log.exception("%s %s", resource.type, resource.logical_id)
                failure = ResourceFailed(f"the embedded AWS failed on {resource.type}: {error!r}")
            self._ended.put((resource.logical_id, failure))

        thread = threading.Thread(target=work, name=f"wait for {resource.logical_id}", daemon=True)
        self._begun[resource.logical_id] = Begun(resource, request, status, asked_for, thread)
        thread.start()

    def next_ended(self) -> tuple[Begun, ResourceFailed | None]:
        """The next one that has ended, and why it failed if it did; blocks."""
        name, error = self._next()
        if error is not None and self._begun[name].asked_for:
            name, error = self._heard_sooner(name, error)
        return self._begun.pop(name), error

    def cancel(self) -> list[Begun]:
        """Wait no more, except for the end of what works; returns what was under way, the last one first."""
        begun, self._begun = list(self._begun.values()), {}
        for one in begun:
            one.request.cancelled.set()
        for one in begun:
            if one.asked_for:
                one.thread.join()
        return begun[::-1]

    def _next(self) -> tuple[str, ResourceFailed | None]:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._ended.get(timeout=0.1)
            self._heed_stop()

    def _heard_sooner(self, name: str, error: ResourceFailed) -> tuple[str, ResourceFailed | None]:
        """What CloudFormation hears of before it asks for this end: a signal, if one comes in time."""
        deadline = time.monotonic() + _LOOK_SECONDS
        signalled = any(not one.asked_for for one in self._begun.values())
        while signalled and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                other = self._ended.get(timeout=0.1)
                self._ended.put((name, error))
                return other
            self._heed_stop()
        return name, error
