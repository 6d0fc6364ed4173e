"""Ends a tree of threads: what belongs to an execution, or to one map in it."""

from __future__ import annotations

import threading

from quant_llm_tools.local_aws.step_functions.errors import Halted


class Halt:
    """A flag that, once set, is set in all its children too, and wakes who sleeps on it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: list[Halt] = []

    def child(self) -> Halt:
        """A flag that can be set alone, and is set with this one."""
        child = Halt()
        with self._lock:
            self._children.append(child)
            if self._event.is_set():
                child.set()
        return child

    def set(self) -> None:
        """End what heeds this flag."""
        with self._lock:
            self._event.set()
            children = list(self._children)
        for child in children:
            child.set()

    def check(self) -> None:
        """Raise Halted if the flag is set."""
        if self._event.is_set():
            raise Halted

    def sleep(self, seconds: float) -> None:
        """Sleep, and raise Halted as soon as the flag is set."""
        if self._event.wait(seconds):
            raise Halted
