"""A running container, and how the suite starts one: here as a process of the container's entrypoint.

The tests know a container only by its port, its log, and what it does on a signal, so they can be run against
an image as well: whatever starts images needs the methods of `Container`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "container" / "sagemaker"
_TOOLS = ROOT / "tools"
_STUB = Path(__file__).with_name("stub_engine.py")
_ENGINES = {
    "stub": f"'{sys.executable}' '{_STUB}'",
    "llama.cpp": f"PYTHONPATH='{_TOOLS}' '{sys.executable}' -m quant_llm_tools.local_aws.llama_server",
}


class Container:
    """The entrypoint as a process that listens on loopback."""

    def __init__(self, directory: Path, variables: Mapping[str, str], *, engine: str = "stub") -> None:
        """Start the container; `directory` is a new folder for its log and its `llama-server`."""
        self.port = _free_port()
        self._log = directory / "log"
        directory.mkdir()
        programs = _write_program(directory / "bin", _ENGINES[engine])
        self._scratch = tempfile.TemporaryDirectory(prefix="container-")  # short, for the path of a socket
        environment = {
            "TMPDIR": self._scratch.name,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]),
            "SERVING_BIND_ADDRESS": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            **variables,
        }
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "quant_llm_serving", "llama.cpp", "serve"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the engine is in the same group, so both can be killed as one
            )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The container's own lines of the log."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith('{"time"')]

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of an answer; a `body` that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, body=data, headers=dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def invoke(self, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        return self.request("POST", "/invocations", body, headers)

    def ping(self) -> int | None:
        """The status of /ping, None if nothing listens yet."""
        try:
            return self.request("GET", "/ping")[0]
        except OSError:
            return None

    def until_healthy(self) -> Container:
        wait_until(lambda: self.ping() == 200 or self.process.poll() is not None, seconds=30)
        assert self.process.poll() is None, f"the container ended: {self.log}"
        return self

    def until_logged(self, text: str) -> None:
        """Wait for `text` in the log, which is written a little behind what it tells."""
        wait_until(lambda: text in self.log, seconds=2)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def terminate(self) -> None:
        self.process.terminate()

    def wait_for_exit(self, seconds: float) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End the container and its engine, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._scratch.cleanup()


def wait_until(condition: Callable[[], bool], *, seconds: float) -> float:
    """Wait for `condition`; returns how long it took, fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not so within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


def _write_program(directory: Path, command: str) -> Path:
    """A folder whose `llama-server` is `command`."""
    directory.mkdir()
    program = directory / "llama-server"
    program.write_text(f'#!/bin/sh\nexec env {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return directory


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
