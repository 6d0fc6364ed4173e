"""Threads that take turns on a virtual clock: the same seed gives the same run.

One task runs at a time, in a thread of its own, until it pauses; then the next one is drawn among those that
are due. When none is due the clock jumps to the first that will be. So real code with sleeps, time-outs and
executors runs in no time, in any order, and again in that very order.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")
_NEVER = float("inf")


class Killed(BaseException):
    """The process that the task belongs to is gone. No handler of errors may take it for one."""


class Deadlock(Exception):
    """No task will ever be due again."""


class Group:
    """Tasks that die together: one invocation of the function."""

    def __init__(self) -> None:
        self.is_killed = False
        self.hangs = False  # its tasks never go on


class _Task:
    def __init__(self, work: Callable[[], None], group: Group, due: float) -> None:
        self.group = group
        self.due = due
        self.turn = threading.Semaphore(0)
        self.thread = threading.Thread(target=work, daemon=True)

    @property
    def next_due(self) -> float:
        if self.group.is_killed:
            return -1.0
        return _NEVER if self.group.hangs else self.due


class Scheduler:
    """The clock and the tasks; `in_order` takes the task that has waited longest in place of any."""

    def __init__(self, seed: int = 0, *, in_order: bool = False) -> None:
        self.now = 0.0
        self.random = random.Random(seed)  # noqa: S311  # no secret: a replay needs the same
        self._in_order = in_order
        self._tasks: list[_Task] = []
        self._current: _Task | None = None
        self._over = threading.Event()
        self._is_over = False
        self._is_deadlocked = False

    def run(self, main: Callable[[], T]) -> T:
        """Run `main` and all that it starts, to the end of `main`; then end what is left."""
        result: Future[T] = Future()

        def work() -> None:
            try:
                result.set_result(main())
            except BaseException as error:
                result.set_exception(error)
            self._is_over = True

        self._spawn(work, Group())
        self._next()
        self._over.wait()
        for task in list(self._tasks):
            task.group.is_killed = True
            self._resume(task)
            task.thread.join()
        if self._is_deadlocked:
            raise Deadlock
        return result.result()

    @property
    def group(self) -> Group:
        """Of the task that runs."""
        assert self._current is not None
        return self._current.group

    def pause(self, seconds: float = 0.0) -> None:
        """Let others run, and go on after `seconds` at the earliest. Killed when the group is."""
        task = self._current
        assert task is not None
        self._check(task)
        task.due = self.now + seconds
        self._tasks.remove(task)  # to the end of the queue
        self._tasks.append(task)
        self._next()
        task.turn.acquire()
        self._check(task)

    def in_group(self, group: Group, function: Callable[[], T]) -> SimulatedFuture[T]:
        """Start a task in a group of its own."""
        future = SimulatedFuture[T](self)

        def work() -> None:
            try:
                if group.is_killed:
                    raise Killed
                future.settle(function(), None)
            except BaseException as error:
                future.settle(None, error)

        self._spawn(work, group)
        return future

    def executor(self, max_workers: int) -> SimulatedExecutor:
        """An executor whose threads are tasks of the current group."""
        return SimulatedExecutor(self, max_workers)

    def leaving_executor(self, max_workers: int) -> SimulatedExecutor:
        """The same, but nobody waits for its tasks at the end: as an execution that fails leaves its own."""
        return SimulatedExecutor(self, max_workers, waits=False)

    def _check(self, task: _Task) -> None:
        if task.group.is_killed:
            raise Killed

    def _spawn(self, function: Callable[[], None], group: Group) -> None:
        def work() -> None:
            task.turn.acquire()
            function()
            self._tasks.remove(task)
            self._next()

        task = _Task(work, group, self.now)
        self._tasks.append(task)
        task.thread.start()

    def _next(self) -> None:
        """Give the turn to another task, or to `run` when the main one has ended."""
        if self._is_over or self._is_deadlocked:
            self._over.set()
            return
        # A task of a killed group is due at once, to unwind.
        first = min(task.next_due for task in self._tasks)
        if first == _NEVER:
            self._is_deadlocked = True
            self._over.set()
            return
        self.now = max(self.now, first)
        due = [task for task in self._tasks if task.next_due <= self.now]
        self._resume(due[0] if self._in_order else self.random.choice(due))

    def _resume(self, task: _Task) -> None:
        self._current = task
        task.turn.release()


class SimulatedFuture(Future[T]):
    """A future whose `result` lets the other tasks run."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._waiting: list[_Task] = []

    def settle(self, value: Any, error: BaseException | None) -> None:
        """End it, and wake who waits for it."""
        if error is None:
            self.set_result(value)
        else:
            self.set_exception(error)
        for task in self._waiting:
            task.due = self._scheduler.now

    def result(self, timeout: float | None = None) -> T:
        """As usual; TimeoutError by the virtual clock."""
        limit = _NEVER if timeout is None else self._scheduler.now + timeout
        while not self.done():
            if self._scheduler.now >= limit:
                raise TimeoutError
            task = self._scheduler._current
            assert task is not None
            self._waiting.append(task)
            self._scheduler.pause(limit - self._scheduler.now)
        return super().result(0)


class SimulatedExecutor(Executor):
    """Runs at most so many tasks at a time, in the order given."""

    def __init__(self, scheduler: Scheduler, max_workers: int, *, waits: bool = True) -> None:
        self._scheduler = scheduler
        self._waits = waits
        self._free = max_workers
        self._queue: deque[tuple[Callable[[], Any], SimulatedFuture[Any]]] = deque()
        self._all: list[SimulatedFuture[Any]] = []
        self._group = scheduler.group

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As usual."""
        future = SimulatedFuture[T](self._scheduler)
        self._all.append(future)
        self._queue.append((lambda: fn(*args, **kwargs), future))
        if self._free:
            self._free -= 1
            self._scheduler._spawn(self._work, self._group)
        return future

    def _work(self) -> None:
        while self._queue:
            function, future = self._queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if self._group.is_killed:
                    raise Killed
                future.settle(function(), None)
            except BaseException as error:
                future.settle(None, error)
        self._free += 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As usual."""
        if cancel_futures:
            for future in self._all:
                future.cancel()
        for future in self._all if wait and self._waits else []:
            while not future.done():
                self._scheduler.pause(0.001)
