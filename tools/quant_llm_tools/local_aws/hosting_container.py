"""A container of the embedded AWS: its entrypoint as a process of this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed
from quant_llm_tools.local_aws.reserved_port import ReservedPort

_PING_INTERVAL = 0.25
_PING_TIMEOUT = 2  # SageMaker's; an answer that takes longer doesn't count

# Waits on a pipe that the embedded AWS holds, and takes the container along when that is gone, even if the
# embedded AWS was killed. It leads the process group, so the group is there until it is ended here.
_KEEPER = 'trap "" TERM; read -r _; kill -TERM 0; sleep 5; kill -KILL 0'


class Container:
    """One run of a container: a process group of its own, its output handed to `log` line by line."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        port: ReservedPort | None,
        log: Callable[[str], None],
    ) -> None:
        """Start `command` with nothing but `environment`; it is to listen on `port`, its own to its end."""
        self.port = port.number if port else 0
        self._reserved = port
        self._log = log
        self._last_line = "it wrote nothing"
        self._ending = threading.Lock()
        self._keeper = subprocess.Popen(  # noqa: S603 - fixed arguments
            ["/bin/sh", "-c", _KEEPER], stdin=subprocess.PIPE, process_group=0
        )
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the image's own entrypoint
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                process_group=self._keeper.pid,
            )
        except OSError as error:
            self._end_group()
            raise DeploymentFailed(f"The container's entrypoint can't be started: {error}") from error
        self._reader = threading.Thread(target=self._read_output, name=f"output of {self.pid}", daemon=True)
        self._reader.start()

    def _read_output(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        with self._process.stdout as output:
            for line in output:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._last_line = _message(text)
                    self._log(text)

    @property
    def pid(self) -> int:
        """The process id of the entrypoint."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the entrypoint's process lives."""
        return self._process.poll() is None

    def wait(self) -> str:
        """Block until the entrypoint has ended; says how, with its last line of output."""
        status = self._process.wait()
        self._end_group()
        self._reader.join(timeout=2)
        if status < 0:
            return f"Container was ended by {signal.Signals(-status).name}: {self._last_line}"
        return f"Container exited with code {status}: {self._last_line}"

    def wait_until_healthy(self, *, variant: str, timeout: float) -> None:
        """Poll `/ping` until it answers 200.

        Raises DeploymentFailed as soon as the container has exited, or after `timeout` seconds.
        """
        refused = (
            f"The primary container for production variant {variant} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )
        deadline = time.monotonic() + timeout
        while not self._answers_ping():
            if not self.running:
                raise DeploymentFailed(f"{refused} {self.wait()}")
            if time.monotonic() > deadline:
                raise DeploymentFailed(f"{refused} Not healthy after {timeout:g} seconds: {self._last_line}")
            time.sleep(_PING_INTERVAL)

    def _answers_ping(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PING_TIMEOUT)
        try:
            connection.request("GET", "/ping")
            response = connection.getresponse()
            response.read()
            return response.status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self, grace: float) -> None:
        """SIGTERM to the entrypoint alone, as Docker does; after `grace` seconds SIGKILL to all of it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        self._end_group()
        self._process.wait()
        self._reader.join(timeout=2)

    def _end_group(self) -> None:
        """When PID 1 of a container ends, everything in it ends."""
        with self._ending:
            if self._keeper.returncode is None:  # once waited for, its number may belong to somebody else
                os.killpg(self._keeper.pid, signal.SIGKILL)
                self._keeper.communicate()
        if self._reserved:
            self._reserved.release()


def _message(line: str) -> str:
    """What a log line says: its `message` if it is a JSON object with one."""
    try:
        entry = json.loads(line)
        return str(entry["message"])
    except (ValueError, KeyError, TypeError):
        return line
