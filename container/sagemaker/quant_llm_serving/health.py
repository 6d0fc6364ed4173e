"""Whether the container is fit to serve: what `/ping` answers, and the watch over the engine behind it."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from quant_llm_serving.environment import SERVING_STALL_SECONDS
from quant_llm_serving.errors import EngineError
from quant_llm_serving.log import Log
from quant_llm_serving.proxy import EngineAddress, EngineUnreachable, call
from quant_llm_serving.routes import COMPLETIONS, EMBEDDINGS, Abilities

_LOADING_INTERVAL = 0.1
_WATCH_INTERVAL = 1.0


class Health:
    """Three things that must be so: a token was generated, no SIGTERM came, and the engine answers."""

    def __init__(self) -> None:
        """The state at the start: loading."""
        self.ready = False
        self.draining = False
        self.answering = True

    @property
    def trouble(self) -> str | None:
        """Why the container takes no work at the moment, or None if it does."""
        if self.draining:
            return "the container is shutting down"
        if not self.ready:
            return "the model is being loaded"
        if not self.answering:
            return "the engine does not answer its health check"
        return None


async def watch(
    health: Health, engine: EngineAddress, abilities: Abilities, timeout: float, stall: float, log: Log
) -> None:
    """Keep `health` true to the engine, for ever. An answer that takes over `timeout` seconds doesn't count.

    Raises EngineError if the loaded engine can't generate, or begins no step of its work for `stall` seconds.
    """
    while not await _is_healthy(engine, timeout):
        await asyncio.sleep(_LOADING_INTERVAL)
    await _generate_one_token(engine, abilities)
    health.ready = True
    log.event("ready: the first token was generated")
    watches = [
        asyncio.create_task(_watch_answers(health, engine, timeout, log)),
        asyncio.create_task(_watch_work(engine, abilities.pulse, stall)),
    ]
    try:
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()
    finally:
        for each in watches:
            each.cancel()


async def _watch_work(engine: EngineAddress, pulse: str, stall: float) -> None:
    """An engine that hangs in its work still answers health checks: they have a thread of their own."""
    while True:
        await asyncio.sleep(_WATCH_INTERVAL)
        try:
            async with asyncio.timeout(stall):
                await call(engine, "GET", pulse)
        except EngineUnreachable:
            continue  # the other watch, and the engine's process, tell
        except TimeoutError:
            raise EngineError(
                f"the engine began no new step for {stall:g} s ({SERVING_STALL_SECONDS}): a request that it "
                "can't finish, as with a grammar that is too ambiguous, or a GPU that answers no more"
            ) from None


async def _watch_answers(health: Health, engine: EngineAddress, timeout: float, log: Log) -> None:
    while True:
        await asyncio.sleep(_WATCH_INTERVAL)
        answering = await _is_healthy(engine, timeout)
        if answering != health.answering:
            health.answering = answering
            if answering:
                log.event("the engine answers again")
            else:
                log.event(f"the engine left a health check unanswered for {timeout:g} s", level="error")


async def _is_healthy(engine: EngineAddress, timeout: float) -> bool:
    try:
        # Not wait_for, which before Python 3.12 swallows a cancellation that comes together with the answer.
        async with asyncio.timeout(timeout):
            status, _ = await call(engine, "GET", "/health")
    except (EngineUnreachable, TimeoutError):
        return False
    return status == HTTPStatus.OK


async def _generate_one_token(engine: EngineAddress, abilities: Abilities) -> None:
    """The proof that weights, GPU and tokenizer work together; the first request is then not the slowest."""
    path = EMBEDDINGS if EMBEDDINGS in abilities.routes else COMPLETIONS
    body = {"input": "1"} if path == EMBEDDINGS else {"prompt": "1", "max_tokens": 1, "temperature": 0}
    try:
        status, answer = await call(engine, "POST", path, json.dumps(body).encode())
    except EngineUnreachable as error:
        raise EngineError(f"the engine ended while it generated its first token: {error}") from error
    if status != HTTPStatus.OK or not _has_output(answer):
        text = answer.decode(errors="replace")[:500]
        raise EngineError(f"the engine can't generate: POST {path} answered {status}: {text}")


def _has_output(answer: bytes) -> bool:
    """A completion counts its tokens; embeddings are a list of vectors."""
    try:
        fields = json.loads(answer)
        return bool(fields.get("data")) or fields["usage"]["completion_tokens"] >= 1
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
