"""Lambda functions, run from their deployed code in a process of their own, with their limits enforced."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.core.exceptions import JsonRESTError
from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import logs_backends

from quant_llm_tools.local_aws import lambda_bootstrap
from quant_llm_tools.local_aws.cloud import Cloud, Seam

Json = Any

# What Lambda's Python runtime brings beside the standard library.
_RUNTIME_PACKAGES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
# "Lambda quotas": what loading the code may take, on top of the function's own time.
_INIT_SECONDS = 10
_LOG_TAIL_BYTES = 4096
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: what it returned, or `error` with errorType and errorMessage."""

    payload: bytes
    log_tail: bytes
    error: dict[str, Json] | None = None

    @property
    def problem(self) -> str | None:
        """The error in one line."""
        return f"{self.error['errorType']}: {self.error['errorMessage']}" if self.error else None


class LambdaRuntime:
    """Runs the functions that are deployed to one embedded AWS."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()

    def seams(self) -> list[Seam]:
        """moto invokes functions in Docker only, and forgets a part of their configuration."""
        runtime, create = self, LambdaFunction.__init__
        describe, update = LambdaFunction.get_configuration, LambdaFunction.update_configuration

        def __init__(
            function: LambdaFunction, account_id: str, spec: dict[str, Json], *rest: Json, **more: Json
        ) -> None:
            create(function, account_id, spec, *rest, **more)
            _keep(function, spec)

        def get_configuration(function: LambdaFunction, on_create: bool = False) -> dict[str, Json]:
            logging = {"LogFormat": "Text", "LogGroup": function.logs_group_name}
            return {**describe(function, on_create), "LoggingConfig": logging}

        def update_configuration(function: LambdaFunction, updates: dict[str, Json]) -> dict[str, Json]:
            _keep(function, updates)
            return update(function, updates)

        def invoke(
            function: LambdaFunction, body: Json, headers: Json, response_headers: dict[str, str]
        ) -> bytes:
            return runtime._answer(function, body, headers, response_headers)

        return [
            (LambdaFunction, "__init__", __init__),
            (LambdaFunction, "get_configuration", get_configuration),
            (LambdaFunction, "update_configuration", update_configuration),
            (LambdaFunction, "invoke", invoke),
        ]

    def invoke_arn(self, arn: str, event: Json) -> Future[str | None]:
        """Invoke a function asynchronously; the future holds what went wrong with it in one line, or None."""
        _, _, _, region, account, _, name = arn.split(":")[:7]
        return self.start(lambda_backends[account][region].get_function(name), event)

    def start(self, function: LambdaFunction, event: Json) -> Future[str | None]:
        """Invoke a function in the background."""
        future: Future[str | None] = Future()

        def work() -> None:
            try:
                future.set_result(self.run(function, event).problem)
            except Exception as error:
                future.set_result(f"the embedded AWS failed to run the function: {error!r}")

        self._cloud.spawn(f"function {function.function_name}", work)
        return future

    def run(self, function: LambdaFunction, event: Json) -> Outcome:
        """Invoke a function and wait for its end."""
        return _Invocation(self._cloud, function, self._packages(), self._code(function)).run(event)

    def _answer(
        self, function: LambdaFunction, body: Json, headers: Json, response_headers: dict[str, str]
    ) -> bytes:
        kind = headers.get("x-amz-invocation-type", "RequestResponse")
        try:
            event = json.loads(body) if body else {}
        except ValueError as error:
            message = f"Could not parse request body into json: {error}"
            raise JsonRESTError("InvalidRequestContentException", message) from None
        if kind == "DryRun":
            return b""
        if kind == "Event":
            self.start(function, event)
            return b""
        outcome = self.run(function, event)
        if outcome.error:
            response_headers["x-amz-function-error"] = "Unhandled"
        response_headers["x-amz-log-result"] = base64.b64encode(outcome.log_tail).decode()
        return outcome.payload

    def _packages(self) -> Path:
        """A folder with the runtime's packages and nothing else of this environment."""
        folder = self._cloud.work_dir / "lambda-packages"
        with self._lock:
            if not folder.exists():
                folder.mkdir()
                for name in _RUNTIME_PACKAGES:
                    spec = importlib.util.find_spec(name)
                    if spec is None or spec.origin is None:
                        raise ModuleNotFoundError(f"{name}, which comes with boto3")
                    origin = Path(spec.origin)
                    source = origin.parent if spec.submodule_search_locations else origin
                    (folder / source.name).symlink_to(source)
        return folder

    def _code(self, function: LambdaFunction) -> Path:
        """The deployed archive, unpacked once."""
        digest = getattr(function, "code_digest", "")
        folder = self._cloud.work_dir / "lambda-code" / digest
        with self._lock:
            if not folder.exists():
                unpacked = folder.with_suffix(".part")
                with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                    archive.extractall(unpacked)
                unpacked.rename(folder)
        return folder


def _keep(function: LambdaFunction, spec: dict[str, Json]) -> None:
    """Keep what moto does not, of a creation or an update."""
    if "LoggingConfig" in spec:
        default = f"/aws/lambda/{function.function_name}"
        function.logs_group_name = (spec["LoggingConfig"] or {}).get("LogGroup", default)
    if "EphemeralStorage" in spec:
        function.ephemeral_storage = spec["EphemeralStorage"]["Size"]


class _Invocation:
    """One call of one function."""

    def __init__(self, cloud: Cloud, function: LambdaFunction, packages: Path, code: Path) -> None:
        self._cloud = cloud
        self._function = function
        self._packages = packages
        self._code = code
        self._id = str(uuid.uuid4())
        self._folder = cloud.work_dir / "lambda-calls" / self._id
        self._logs = logs_backends[function.account_id][function.region]
        self._group = function.logs_group_name
        self._stream = f"{datetime.now(UTC):%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}"
        self._tail = b""

    def run(self, event: Json) -> Outcome:
        """Run the function's process to its end, whichever it is."""
        self._logs.ensure_log_group(self._group)
        self._logs.create_log_stream(self._group, self._stream)
        self._log(f"START RequestId: {self._id} Version: {self._function.version}")
        started = time.monotonic()
        runtime = str(self._function.run_time)
        if runtime.startswith("python"):
            (self._folder / "tmp").mkdir(parents=True)
            try:
                result, peak = self._execute(event)
            finally:
                shutil.rmtree(self._folder, ignore_errors=True)
        else:
            message = f"the embedded AWS runs Python functions from zip archives only, got runtime {runtime}"
            unsupported: Json = {"errorType": "Runtime.Unsupported", "errorMessage": message}
            result, peak = {"error": unsupported}, 0
            self._log(message)
        self._report(started, peak, result.get("error"))
        error = result.get("error")
        if error is None:
            return Outcome(str(result["payload"]).encode(), self._tail)
        return Outcome(json.dumps({"requestId": self._id, **error}).encode(), self._tail, error)

    def _execute(self, event: Json) -> tuple[dict[str, Json], int]:
        ready, outcome = self._folder / "ready", self._folder / "outcome.json"
        call = {
            "request_id": self._id,
            "arn": self._function.function_arn,
            "handler": self._function.handler,
            "event": event,
            "timeout": int(self._function.timeout),
            "code": str(self._code),
            "runtime": str(self._packages),
            "ready": str(ready),
            "outcome": str(outcome),
        }
        call_file = self._folder / "call.json"
        call_file.write_text(json.dumps(call))
        # Isolated: no site-packages, no variables of this process, no bytecode in the code's folder.
        command = [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-u",
            "-X",
            "utf8",
            lambda_bootstrap.__file__,
            str(call_file),
        ]
        with subprocess.Popen(  # noqa: S603 - this interpreter on our own file
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._code,
            env=self._environment(),
            process_group=0,
        ) as process:
            reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
            reader.start()
            try:
                killed, peak = self._watch(process, ready)
            finally:
                _kill(process)
            reader.join(timeout=5)
        result = json.loads(outcome.read_text()) if outcome.exists() else {}
        peak = max(peak, result.get("peak_bytes", 0))
        if killed is None and peak > self._limit:
            killed = _out_of_memory(self._id)
        if killed is not None:
            return {"error": killed}, peak
        if not result:
            return {"error": _exited(self._id, process.returncode)}, peak
        return result, peak

    @property
    def _limit(self) -> int:
        return int(self._function.memory_size) * 1024 * 1024

    def _watch(self, process: subprocess.Popen[bytes], ready: Path) -> tuple[dict[str, Json] | None, int]:
        """Wait for the process; returns why it was killed, if it was, and the most memory that it held."""
        timeout = int(self._function.timeout)
        deadline, initialised, peak = time.monotonic() + _INIT_SECONDS, False, 0
        while True:
            try:
                process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            else:
                return None, peak
            if not initialised and ready.exists():
                initialised, deadline = True, time.monotonic() + timeout
            peak = max(peak, lambda_bootstrap.peak_bytes(process.pid))
            if peak > self._limit:
                return _out_of_memory(self._id), peak
            if time.monotonic() > deadline:
                if initialised:
                    message = f"RequestId: {self._id} Error: Task timed out after {timeout:.2f} seconds"
                else:
                    message = f"RequestId: {self._id} Error: init timed out after {_INIT_SECONDS:.2f} seconds"
                self._log(message)
                return {"errorType": "Sandbox.Timedout", "errorMessage": message}, peak
            if self._cloud.stopping.is_set():
                return {"errorType": "Sandbox.Stopped", "errorMessage": "the embedded AWS stops"}, peak

    def _environment(self) -> dict[str, str]:
        function = self._function
        session = self._cloud.client("sts", function.region, function.account_id).assume_role(
            RoleArn=function.role, RoleSessionName=function.function_name[:64]
        )["Credentials"]
        reserved = {
            **self._cloud.environment(function.region),
            "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["SessionToken"],
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": self._group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
            "LAMBDA_TASK_ROOT": str(self._code),
            "_HANDLER": str(function.handler),
        }
        hub = reserved.pop("HF_ENDPOINT")
        temporary = str(self._folder / "tmp")
        system = {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": "UTC",
            "TMPDIR": temporary,
            "HOME": temporary,
        }
        return {**system, "HF_ENDPOINT": hub, **function.environment_vars, **reserved}

    def _read(self, output: Any) -> None:
        for line in output:
            self._log(line.decode(errors="replace").rstrip("\n"))

    def _log(self, line: str) -> None:
        self._tail = (self._tail + line.encode() + b"\n")[-_LOG_TAIL_BYTES:]
        event = {"timestamp": int(time.time() * 1000), "message": line}
        # Of a function that outlives its stack's log group nobody reads the lines.
        with contextlib.suppress(ResourceNotFoundException):
            self._logs.put_log_events(self._group, self._stream, [event])

    def _report(self, started: float, peak: int, error: dict[str, Json] | None) -> None:
        milliseconds = (time.monotonic() - started) * 1000
        status = f"\tStatus: error\tError Type: {error['errorType']}" if error else ""
        self._log(f"END RequestId: {self._id}")
        self._log(
            f"REPORT RequestId: {self._id}\tDuration: {milliseconds:.2f} ms"
            f"\tBilled Duration: {int(milliseconds) + 1} ms\tMemory Size: {self._function.memory_size} MB"
            f"\tMax Memory Used: {peak // 1024 // 1024} MB{status}"
        )


def _out_of_memory(request_id: str) -> dict[str, Json]:
    message = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed (out of memory)"
    return {"errorType": "Runtime.OutOfMemory", "errorMessage": message}


def _exited(request_id: str, code: int) -> dict[str, Json]:
    how = f"exit status {code}" if code >= 0 else f"signal: {signal.Signals(-code).name}"
    message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
    return {"errorType": "Runtime.ExitError", "errorMessage": message}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the function's process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
