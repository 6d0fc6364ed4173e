"""The inside of a Lambda function's process: loads the handler, calls it once, reports the outcome.

Run as `python -I -S -B -u lambda_bootstrap.py <call.json>`; the call file names all else.
Only the function's code is importable here, and what Lambda's Python runtime ships.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any


class Context:
    """The context object, with the attributes that Lambda documents."""

    def __init__(self, call: dict[str, Any], deadline: float) -> None:
        self.aws_request_id = call["request_id"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.invoked_function_arn = call["arn"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is killed."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))

    def log(self, message: object) -> None:
        """Write a line to the log."""
        print(message, flush=True)


def main(call_file: str) -> None:
    """Make the call that the file describes and write the outcome where it says."""
    with open(call_file, encoding="utf-8") as file:
        call = json.load(file)
    parent = os.getppid()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    # As on Lambda the function's own code comes first, then what the runtime brings.
    sys.path[:0] = [call["code"]]
    sys.path.append(call["runtime"])
    _set_up_logging(call["request_id"])
    outcome = _run(call)
    outcome["peak_bytes"] = peak_bytes("self")
    with open(call["outcome"] + ".part", "w", encoding="utf-8") as file:
        json.dump(outcome, file)
    os.replace(call["outcome"] + ".part", call["outcome"])


def _run(call: dict[str, Any]) -> dict[str, Any]:
    module_name, _, function_name = call["handler"].rpartition(".")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        return _failed("Runtime.ImportModuleError", message, traceback.format_exc())
    except SyntaxError as error:
        return _failed("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}")
    except BaseException as error:
        return _failed(type(error).__name__, str(error), traceback.format_exc())
    handler = getattr(module, function_name, None)
    if handler is None:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        return _failed("Runtime.HandlerNotFound", message)
    # The initialisation has its own time limit; the function's starts here.
    with open(call["ready"], "w", encoding="utf-8"):
        deadline = time.monotonic() + call["timeout"]
    try:
        result = handler(call["event"], Context(call, deadline))
    except SystemExit as error:
        message = (
            f"RequestId: {call['request_id']} Error: Runtime exited with error: exit status {error.code}"
        )
        return _failed("Runtime.ExitError", message)
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        trace = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames]
        return _failed(type(error).__name__, str(error), traceback.format_exc(), trace)
    try:
        return {"payload": json.dumps(result)}
    except (TypeError, ValueError) as error:
        return _failed("Runtime.MarshalError", f"Unable to marshal response: {error}")


def _failed(kind: str, message: str, trace: str = "", frames: Sequence[str] = ()) -> dict[str, Any]:
    print(f"[ERROR] {kind}: {message}", flush=True)
    if trace:
        print(trace.rstrip(), flush=True)
    return {"error": {"errorMessage": message, "errorType": kind, "stackTrace": list(frames)}}


def _set_up_logging(request_id: str) -> None:
    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            moment = datetime.fromtimestamp(record.created, UTC)
            stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
            return f"[{record.levelname}]\t{stamp}\t{request_id}\t{super().format(record)}"

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Formatter())
    logging.getLogger().addHandler(handler)


def _die_with(parent: int) -> None:
    """A function must not outlive the embedded AWS, however that ends."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def peak_bytes(pid: int | str) -> int:
    """The most memory that a process has held, in bytes; 0 where the system doesn't tell."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
