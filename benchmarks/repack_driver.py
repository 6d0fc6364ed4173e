"""Does in one process what the state machine does: plan, copy many items at a time, finish; or fail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from quant_llm_lambda.retry import full_jitter
from quant_llm_repack.errors import UploadGoneError
from quant_llm_repack.state_machine import RESTARTS, definition

Invoke = Callable[[dict[str, Any]], dict[str, Any]]

_RETRY = definition("", 1)["States"]["Plan"]["Retry"][0]


class TaskFailed(Exception):
    """One invocation failed: `error` and `cause` as Step Functions sees them."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause

    @classmethod
    def of(cls, error: Exception) -> TaskFailed:
        """What Lambda makes of an exception of the function."""
        name = type(error).__name__
        return cls(name, json.dumps({"errorMessage": str(error), "errorType": name}))


class ExecutionFailed(Exception):
    """The repack failed; the message is the reason that the task `fail` gave."""


def drive(
    invoke: Invoke,
    properties: Mapping[str, Any],
    *,
    workers: int,
    wait_handle: str = "",
    executor: Callable[[int], Executor] = ThreadPoolExecutor,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Make the artifact of `properties`; `invoke` runs one task of the function, or raises TaskFailed.

    Returns what the task `finish` does; ExecutionFailed with the reason when it can't be made.
    """
    shared = {"Request": dict(properties)}

    def retried(event: dict[str, Any]) -> dict[str, Any]:
        failures = 0
        while True:
            try:
                return invoke(event)
            except TaskFailed as error:
                failures += 1
                if error.error not in _RETRY["ErrorEquals"] or failures > _RETRY["MaxAttempts"]:
                    raise
                sleep(
                    full_jitter(
                        failures,
                        base_seconds=_RETRY["IntervalSeconds"],
                        cap_seconds=_RETRY["MaxDelaySeconds"],
                    )
                )

    def copy(index: int, item: Mapping[str, Any], upload_ids: Sequence[str | None]) -> None:
        event = {"Task": "copy", **shared, "UploadIds": upload_ids, "Item": item, "Index": index}
        while not retried(event)["Done"]:
            continue

    def attempt() -> dict[str, Any]:
        plan = retried({"Task": "plan", **shared})
        with executor(workers) as pool:
            copies = [
                pool.submit(copy, index, item, plan["UploadIds"]) for index, item in enumerate(plan["Items"])
            ]
            try:
                for each in copies:
                    each.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        finish = {"Task": "finish", **shared, "UploadIds": plan["UploadIds"], "WaitHandle": wait_handle}
        return retried(finish)

    restarts = 0
    try:
        while True:
            try:
                return attempt()
            except TaskFailed as error:
                if error.error != UploadGoneError.__name__ or restarts == RESTARTS:
                    raise
                restarts += 1
    except TaskFailed as error:
        failed = {
            "Task": "fail",
            **shared,
            "WaitHandle": wait_handle,
            "Error": {"Error": error.error, "Cause": error.cause},
        }
        raise ExecutionFailed(retried(failed)["Reason"]) from error
