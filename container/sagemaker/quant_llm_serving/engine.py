"""An engine behind the container's contract: what it must tell about itself, and its process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from quant_llm_serving.adapters import Adapters
from quant_llm_serving.environment import Environment
from quant_llm_serving.errors import EngineError
from quant_llm_serving.log import Log
from quant_llm_serving.routes import Abilities

_KEPT_LINES = 20
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class EngineCommand:
    """How to start an engine: its command line, and what to add to the container's own environment."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class Engine(Protocol):
    """A server of OpenAI's routes on a Unix socket, with `/health` and `/metrics`.

    `model` is of the engine's own type: what its `find_model` returned.
    """

    name: str

    def options(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The engine's own options with the container's defaults; raises ConfigurationError."""
        ...

    def find_model(self, environment: Environment) -> Any:
        """The model to serve, checked; raises ModelError."""
        ...

    def command(
        self, environment: Environment, options: Mapping[str, str], model: Any, socket: Path
    ) -> EngineCommand:
        """How to start the engine so that it listens on `socket`."""
        ...

    def abilities(self, options: Mapping[str, str]) -> Abilities:
        """What the engine serves with these options."""
        ...

    def adapters(self, environment: Environment, options: Mapping[str, str], model: Any) -> Adapters | None:
        """The adapters that callers choose by name; None without any."""
        ...


class EngineProcess:
    """The engine's process; its output goes line by line to the container's log."""

    def __init__(self, command: EngineCommand, log: Log) -> None:
        """Start the engine; to be called in the event loop. Raises EngineError if it can't be started."""
        self._log = log
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        try:
            # In our process group: whoever ends the container's processes by group ends the engine as well.
            self._process = subprocess.Popen(  # noqa: S603 - the engine's own command line, no shell
                command.arguments,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise EngineError(f"{command.arguments[0]} can't be started: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, name="engine log", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, args=[loop], name="engine exit", daemon=True).start()

    @property
    def last_lines(self) -> list[str]:
        """The end of the engine's output."""
        return list(self._lines)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL five seconds later. Running requests are lost."""
        self._process.terminate()
        done, _ = await asyncio.wait([self.exited], timeout=_STOP_SECONDS)
        if not done:
            self._process.kill()
            await self.exited

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        with self._process.stdout as output:
            for line in output:
                stripped = line.rstrip()
                self._lines.append(stripped.decode(errors="replace"))
                self._log.line(stripped)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        status = self._process.wait()
        self._reader.join(1)  # its last lines; a child of the engine may keep the pipe open for longer
        try:
            loop.call_soon_threadsafe(self._set_exited, status)
        except RuntimeError:
            return  # the container ends as well, and its event loop is closed

    def _set_exited(self, status: int) -> None:
        if not self.exited.done():
            self.exited.set_result(status)
