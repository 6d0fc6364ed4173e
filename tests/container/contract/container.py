"""A container that the suite itself starts: an endpoint with a log, signals, and an engine that can be hurt.

Whoever wants the suite to run on another kind of container (an image under podman, another engine) writes a
`Starter`: a function that starts one and returns its `Container`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.container.contract.endpoint import Endpoint, wait_until


class Container(Endpoint, ABC):
    """A container on this machine. `pid` is its entrypoint's, as this machine sees it."""

    pid: int

    @property
    @abstractmethod
    def log(self) -> str:
        """All that the container has written so far."""

    @abstractmethod
    def exit_code(self) -> int | None:
        """None while it runs."""

    @abstractmethod
    def kill(self) -> None:
        """End it with its engine, whatever state they are in, and leave nothing behind."""

    def terminate(self) -> None:
        """SIGTERM to the entrypoint, as SageMaker sends it."""
        os.kill(self.pid, signal.SIGTERM)

    def signal_engine(self, number: signal.Signals) -> None:
        """A signal to the engine, which is the entrypoint's child. After SIGSTOP none of its threads runs."""
        (child,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        os.kill(int(child), number)
        if number == signal.SIGSTOP:
            # The thread that takes the signal stops the others, and may have to wait for a processor.
            wait_until(lambda: _states(int(child)) == {"T"}, seconds=10)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The container's own lines of the log."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith('{"time"')]

    def wait_for_exit(self, seconds: float) -> int:
        wait_until(lambda: self.exit_code() is not None, seconds=seconds)
        code = self.exit_code()
        assert code is not None
        return code

    def until_healthy(self, seconds: float = 60) -> None:
        wait_until(lambda: self.ping() == 200 or self.exit_code() is not None, seconds=seconds)
        assert self.exit_code() is None, f"the container ended: {self.log}"

    def until_logged(self, text: str) -> None:
        """Wait for `text` in the log, which is written a little behind what it tells."""
        wait_until(lambda: text in self.log, seconds=2)


class Starter(Protocol):
    """Starts a container and waits for nothing.

    `directory` is an empty folder for whatever it writes. `variables` are added to the container's
    environment. The engine has a model that can talk, at least two slots, and generates at no more than a few
    hundred tokens a second: the suite stops it in mid-answer.
    """

    def __call__(self, directory: Path, variables: Mapping[str, str]) -> Container: ...


def _states(pid: int) -> set[str]:
    """The states of a process's threads, as in proc_pid_stat(5)."""
    states = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            states.add(stat.read_text().rpartition(")")[2].split()[0])
    return states
