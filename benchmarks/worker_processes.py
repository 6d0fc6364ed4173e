"""Processes that work one call at a time, as a Lambda function's sandboxes do, and tell what they took."""

from __future__ import annotations

import queue
import re
import resource
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self, TypeVar

from benchmarks.loopback import SPAWN

T = TypeVar("T")


class WorkerFailedError(Exception):
    """A call ended with an exception, whose traceback is the message; or its process did."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a worker took: its CPU time with that of the programs it ran, and its peak of resident memory."""

    cpu_seconds: float
    peak_rss_mib: float


class WorkerProcesses:
    """`count` fresh processes inside a `with` block. Each has run `prepare` before the block begins."""

    def __init__(self, count: int, prepare: Callable[[], object]) -> None:
        self._count = count
        self._prepare = prepare
        self._stack = ExitStack()
        self._all: list[Connection] = []
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function in a process that is free, or when one is; WorkerFailedError when it fails."""
        connection = self._free.get()
        try:
            connection.send((function, arguments))
            result: T = _received(connection)
        finally:
            self._free.put(connection)
        return result

    def spent(self) -> list[Spent]:
        """What each has taken since it was prepared; to be asked when no call is under way."""
        for connection in self._all:
            connection.send(None)
        return [_received(connection) for connection in self._all]

    def __enter__(self) -> Self:
        for _ in range(self._count):
            ours, theirs = SPAWN.Pipe()
            process = SPAWN.Process(target=_work, args=(theirs, self._prepare), daemon=True)
            process.start()
            theirs.close()
            self._stack.callback(process.join)
            self._stack.enter_context(ours)  # a process whose pipe is closed ends
            self._all.append(ours)
        for connection in self._all:
            _received(connection)
            self._free.put(connection)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _received(connection: Connection) -> Any:
    try:
        result, problem = connection.recv()
    except EOFError:
        raise WorkerFailedError("the worker's process died") from None
    if problem is not None:
        raise WorkerFailedError(problem)
    return result


def _work(pipe: Connection, prepare: Callable[[], object]) -> None:
    """Do what comes through the pipe until it is closed; None asks what was spent."""
    prepare()
    before = _cpu_seconds()
    pipe.send((None, None))
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        try:
            function, arguments = call or (_spent, (before,))
            result = function(*arguments)
        except Exception:
            pipe.send((None, traceback.format_exc()))
        else:
            pipe.send((result, None))


def _spent(cpu_before: float) -> Spent:
    return Spent(_cpu_seconds() - cpu_before, peak_rss_mib())


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_rss_mib() -> float:
    """Of this process alone: getrusage would count the one that it was forked from too."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if peak is None:
        raise WorkerFailedError("/proc/self/status has no VmHWM: this benchmark needs Linux")
    return int(peak[1]) / 1024
