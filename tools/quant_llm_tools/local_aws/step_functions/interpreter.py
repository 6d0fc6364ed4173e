"""Runs a checked state machine: states one after the other, the iterations of a map side by side."""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from quant_llm_tools.local_aws.step_functions.choice import holds
from quant_llm_tools.local_aws.step_functions.definition import distributed, processor
from quant_llm_tools.local_aws.step_functions.errors import PathError, StateError
from quant_llm_tools.local_aws.step_functions.frame import Frame
from quant_llm_tools.local_aws.step_functions.halt import Halt
from quant_llm_tools.local_aws.step_functions.paths import compact, evaluate, fill, put, select
from quant_llm_tools.local_aws.step_functions.task import Invoke, run_task

Json = Any

# "Step Functions service quotas": iterations of an inline map at once. Each is a process here, so the
# distributed maps, which may have 10,000, have no more.
_MOST_ITERATIONS = 40

Spawn = Callable[[str, Callable[[], None]], None]
"""Does something in the background, under a name."""

Step = tuple[Json, str | None]
"""A state's output and the state that follows, None at the end."""


class Interpreter:
    """Runs state machines whose tasks are done by `invoke`, in threads that `spawn` starts."""

    def __init__(
        self, invoke: Invoke, spawn: Spawn, *, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._invoke = invoke
        self._spawn = spawn
        self._jitter = jitter

    def run(self, machine: Mapping[str, Json], data: Json, frame: Frame) -> Json:
        """The machine's output. StateError if it fails, Halted if it is ended."""
        name: str | None = machine["StartAt"]
        while name is not None:
            data, name = self._state(name, machine["States"][name], data, frame)
        return data

    def _state(self, name: str, state: Mapping[str, Json], data: Json, frame: Frame) -> Step:
        kind = state["Type"]
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        frame.context["State"] = {"EnteredTime": now, "Name": name, "RetryCount": 0}
        frame.entered = frame.note(f"{kind}StateEntered", {"name": name, "input": compact(data)})
        try:
            if kind in ("Task", "Map"):
                output, following = self._work(state, data, frame)
            else:
                output, following = self._flow(kind, state, data, frame)
        except PathError as error:
            raise frame.runtime_error(error) from None
        frame.check_size(output)
        frame.note(f"{kind}StateExited", {"name": name, "output": compact(output)})
        return output, following

    def _flow(self, kind: str, state: Mapping[str, Json], data: Json, frame: Frame) -> Step:
        """The states that do no work."""
        context, following = frame.context, state.get("Next")
        if kind == "Fail":
            raise StateError(_told(state, "Error", data, context), _told(state, "Cause", data, context))
        given = output = _narrowed(state, "InputPath", data, context)
        if kind == "Choice":
            following = _chosen(state, given, context)
        elif kind == "Wait":
            seconds = state.get("Seconds")
            frame.halt.sleep(select(state["SecondsPath"], given, context) if seconds is None else seconds)
        elif kind == "Pass":
            result = fill(state["Parameters"], given, context) if "Parameters" in state else given
            output = put(state.get("ResultPath", "$"), data, state.get("Result", result))
        return _narrowed(state, "OutputPath", output, context), following

    def _work(self, state: Mapping[str, Json], data: Json, frame: Frame) -> Step:
        """The states that do work, which may fail, be tried again, and be caught."""
        tries = [0] * len(state.get("Retry", []))
        while True:
            try:
                given = _narrowed(state, "InputPath", data, frame.context)
                if state["Type"] == "Task":
                    result = run_task(state, given, frame, self._invoke)
                else:
                    result = self._map(state, given, frame)
                if "ResultSelector" in state:
                    result = fill(state["ResultSelector"], result, frame.context)
                output = put(state.get("ResultPath", "$"), data, result)
                return _narrowed(state, "OutputPath", output, frame.context), state.get("Next")
            except StateError as error:
                if self._tries_again(state, error, tries, frame):
                    continue
                for catcher in state.get("Catch", []):
                    if error.matches(catcher["ErrorEquals"]):
                        problem = {"Error": error.error, "Cause": error.cause}
                        return put(catcher.get("ResultPath", "$"), data, problem), catcher["Next"]
                raise

    def _tries_again(
        self, state: Mapping[str, Json], error: StateError, tries: list[int], frame: Frame
    ) -> bool:
        """Wait as the first retrier that means the error says; False if there is none, or no try left."""
        for index, retrier in enumerate(state.get("Retry", [])):
            if not error.matches(retrier["ErrorEquals"]):
                continue
            if tries[index] >= retrier.get("MaxAttempts", 3):
                return False
            delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** tries[index]
            delay = min(delay, retrier.get("MaxDelaySeconds", delay))
            if retrier.get("JitterStrategy") == "FULL":
                delay = self._jitter(0, delay)
            tries[index] += 1
            frame.context["State"]["RetryCount"] += 1
            frame.halt.sleep(delay)
            return True
        return False

    def _map(self, state: Mapping[str, Json], given: Json, frame: Frame) -> list[Json]:
        items = select(state.get("ItemsPath", "$"), given, frame.context)
        if not isinstance(items, list):
            path = state.get("ItemsPath", "$")
            raise frame.runtime_error(f'Reference path "{path}" must point to array.')
        frame.note("MapStateStarted", {"length": len(items)})
        at_once = state.get("MaxConcurrency", 0)
        if "MaxConcurrencyPath" in state:
            at_once = select(state["MaxConcurrencyPath"], given, frame.context)
        results: list[Json] = [None] * len(items)
        halt = frame.halt.child()
        try:
            workers = min(len(items), at_once or _MOST_ITERATIONS, _MOST_ITERATIONS)
            outcomes = self._iterations(state, given, items, workers, frame, halt)
            for _ in items:
                index, outcome = outcomes.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                results[index] = outcome
        except StateError as error:
            frame.note("MapStateFailed")
            if distributed(state):
                cause = "The specified tolerated failure threshold was exceeded"
                raise StateError("States.ExceedToleratedFailureThreshold", cause) from error
            raise
        frame.note("MapStateSucceeded")
        return results

    def _iterations(
        self,
        state: Mapping[str, Json],
        given: Json,
        items: list[Json],
        workers: int,
        frame: Frame,
        halt: Halt,
    ) -> queue.SimpleQueue[tuple[int, Json | BaseException]]:
        """Start the workers of a map; the queue gets each item's output or exception."""
        todo: queue.SimpleQueue[tuple[int, Json]] = queue.SimpleQueue()
        outcomes: queue.SimpleQueue[tuple[int, Json | BaseException]] = queue.SimpleQueue()
        for entry in enumerate(items):
            todo.put(entry)
        name = frame.state_name

        def work() -> None:
            while not todo.empty():
                try:
                    index, item = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    inner = frame.iteration(halt, index, item)
                    outcomes.put((index, self._iteration(name, state, given, inner)))
                except BaseException as error:  # whichever it is, the map must hear of it
                    outcomes.put((index, error))
                    halt.set()  # the others are not wanted any more

        for number in range(workers):
            self._spawn(f"map {name} {number}", work)
        return outcomes

    def _iteration(self, name: str, state: Mapping[str, Json], given: Json, frame: Frame) -> Json:
        item = frame.context["Map"]["Item"]
        details = {"name": name, "index": item["Index"]}
        frame.note("MapIterationStarted", details)
        try:
            selector = state.get("ItemSelector", state.get("Parameters"))
            data = item["Value"]
            if selector is not None:
                try:
                    data = fill(selector, given, frame.context)
                except PathError as error:
                    raise frame.runtime_error(error) from None
            output = self.run(processor(state), data, frame)
        except StateError:
            frame.note("MapIterationFailed", details)
            raise
        frame.note("MapIterationSucceeded", details)
        return output


def _narrowed(state: Mapping[str, Json], name: str, data: Json, context: Mapping[str, Json]) -> Json:
    """What InputPath or OutputPath leaves of the data; null leaves an empty object."""
    path = state.get(name, "$")
    return {} if path is None else select(path, data, context)


def _chosen(state: Mapping[str, Json], given: Json, context: Mapping[str, Json]) -> str:
    for rule in state["Choices"]:
        if holds(rule, given, context):
            return str(rule["Next"])
    if "Default" not in state:
        raise StateError("States.NoChoiceMatched", "No choice rule matched and there is no default")
    return str(state["Default"])


def _told(state: Mapping[str, Json], name: str, data: Json, context: Mapping[str, Json]) -> str:
    """The error or cause of a Fail state."""
    path = state.get(f"{name}Path")
    return str(state.get(name, "") if path is None else evaluate(path, data, context))
