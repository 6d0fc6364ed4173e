"""The life of the container: engine and routes up, serve, drain, down."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant_llm_serving.engine import Engine, EngineProcess
from quant_llm_serving.environment import SAGEMAKER_BIND_TO_PORT, Environment
from quant_llm_serving.errors import ConfigurationError, EngineError, ModelError
from quant_llm_serving.health import Health, watch
from quant_llm_serving.log import Log
from quant_llm_serving.proxy import EngineAddress
from quant_llm_serving.service import Service

_BACKLOG = 1024
_LAST_WORDS_SECONDS = 0.2
_SCRATCH_PATH_LIMIT = 90  # a Unix socket's path has 107 characters at most, 103 on macOS


async def serve(
    environment: Environment, engine: Engine, options: Mapping[str, str], model: Any, log: Log
) -> None:
    """Serve `model` until SIGTERM or SIGINT, and return once what was running has finished.

    Raises EngineError as soon as the engine ends by itself or turns out not to generate, and
    ConfigurationError if the port is taken.
    """
    told_to_stop = _stop_signal()
    abilities = engine.abilities(options)
    health = Health()
    with _scratch_directory() as directory:
        path = Path(directory) / "engine.sock"
        address = EngineAddress(path, kept=abilities.slots)
        service = Service(
            environment=environment,
            health=health,
            abilities=abilities,
            adapters=engine.adapters(environment, options, model),
            engine=address,
            log=log,
        )
        server = await _listen(environment, service)
        process = EngineProcess(engine.command(environment, options, model, path), log)
        limits = environment.health_seconds, environment.stall_seconds
        watching = asyncio.create_task(watch(health, address, abilities, *limits, log))
        try:
            events: set[asyncio.Future[Any]] = {told_to_stop, process.exited, watching}
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
            if told_to_stop.done():
                health.draining = True
                await _drain(service, process, environment.drain_seconds, log)
            await _raise_if_broken(process, watching, engine.name)
        finally:
            watching.cancel()
            await process.stop()
            await asyncio.sleep(_LAST_WORDS_SECONDS)  # for answers on their way to the callers
            server.close()
            address.close()


def _stop_signal() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not told.done():
            told.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    return told


def _scratch_directory() -> tempfile.TemporaryDirectory[str]:
    """A place for the engine's socket: /dev/shm is one even under `docker run --read-only`."""
    for parent in (None, "/dev/shm"):  # noqa: S108 - the folder made in it is private
        with contextlib.suppress(OSError):
            directory = tempfile.TemporaryDirectory(prefix="engine-", dir=parent)
            if len(directory.name) <= _SCRATCH_PATH_LIMIT:
                return directory
            directory.cleanup()
    raise ConfigurationError(
        "no place for the engine's socket, expected a temporary folder (TMPDIR) that can be written to, "
        f"with a path of at most {_SCRATCH_PATH_LIMIT - 20} characters"
    )


async def _listen(environment: Environment, service: Service) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    address = (environment.bind_address, environment.port)
    try:
        return await loop.create_server(service.connection, *address, family=socket.AF_INET, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"can't listen on {address[0]}:{address[1]} ({SAGEMAKER_BIND_TO_PORT}): {error.strerror}"
        ) from error


async def _drain(service: Service, process: EngineProcess, seconds: float, log: Log) -> None:
    log.event("shutting down", unfinished_requests=service.unfinished)
    idle = asyncio.create_task(service.idle())
    events: set[asyncio.Future[Any]] = {idle, process.exited}
    await asyncio.wait(events, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
    if service.unfinished:
        log.event(
            f"requests are cut off {seconds:g} s after SIGTERM", level="warning", cut_off=service.unfinished
        )
        service.refuse_unanswered("the container is shutting down")


async def _raise_if_broken(process: EngineProcess, watching: asyncio.Task[None], name: str) -> None:
    broken = watching.exception() if watching.done() else None
    if broken is not None:  # an engine that is just ending tells more than what it left unanswered
        await asyncio.wait([process.exited], timeout=1)
    if process.exited.done():
        lines = process.last_lines
        last = lines[-1] if lines else "it wrote nothing"
        status = process.exited.result()
        error = EngineError(f"{name} ended with status {status}: {last}", last_lines=lines)
        if status in (ConfigurationError.exit_code, ModelError.exit_code):
            error.exit_code = status  # our own engine tells by the same codes whose mistake it is
        raise error
    if broken is not None:
        raise broken
