"""The server's routes, and the way of the generator's events to the requests that they belong to."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus

from quant_llm_exllama.answers import models
from quant_llm_exllama.backend import Event, Job, Limits
from quant_llm_exllama.completion import Choice, Completion
from quant_llm_exllama.generator import Generator
from quant_llm_exllama.metrics import CONTENT_TYPE, Metrics
from quant_llm_exllama.preparation import Preparation, Prepared, refusal
from quant_llm_serving.http_server import ClientConnection, Request
from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import CHAT, COMPLETIONS, MODELS, PULSE, BadRequest, error_body

_HEALTH = "/health"
_METRICS = "/metrics"
_GETS = (_HEALTH, _METRICS, MODELS, PULSE)
_POSTS = (CHAT, COMPLETIONS)
_PREPARING_THREADS = 2


class Service:
    """All that happens in the event loop. It takes no work before `ready` was called."""

    def __init__(self, name: str, preparation: Preparation) -> None:
        """`name` is the model's to its callers."""
        self._name = name
        self._preparation = preparation
        # A long prompt or a large schema would hold up the answers that are being streamed.
        self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="prepare")
        self._loop = asyncio.get_running_loop()
        self._created = int(time.time())
        self._metrics = Metrics()
        self._generator: Generator | None = None
        self._limits: Limits | None = None
        self._running: dict[Job, tuple[Completion, Choice]] = {}

    def ready(self, generator: Generator, limits: Limits) -> None:
        """The model is loaded."""
        self._generator = generator
        self._limits = limits
        self._metrics.slots = limits.slots

    def connection(self) -> ClientConnection:
        """The protocol of a new connection."""
        return ClientConnection(self.handle)

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer `request`, now or as it is generated."""
        if request.path not in _GETS + _POSTS:
            _refuse(reply, HTTPStatus.NOT_FOUND, f"no such path, expected one of {', '.join(_GETS + _POSTS)}")
        elif request.method != (allowed := "GET" if request.path in _GETS else "POST"):
            message = f"{request.path} takes {allowed}"
            _refuse(reply, HTTPStatus.METHOD_NOT_ALLOWED, message, headers=f"Allow: {allowed}\r\n")
        elif self._limits is None:
            body = error_body("the model is being loaded", kind="unavailable_error")
            reply.send(HTTPStatus.SERVICE_UNAVAILABLE, body, headers="Retry-After: 1\r\n")
        elif request.path == _HEALTH:
            reply.send(HTTPStatus.OK, b'{"status":"ok"}')
        elif request.path == PULSE:
            self._tell_between_steps(reply)
        elif request.path == _METRICS:
            reply.send(HTTPStatus.OK, self._metrics.text(len(self._running)), content_type=CONTENT_TYPE)
        elif request.path == MODELS:
            reply.send(HTTPStatus.OK, models(self._name, self._limits.context_length, self._created))
        else:
            chat = request.path == CHAT
            work = self._preparing.submit(
                self._preparation.prepare, request.body, self._limits.context_length, chat=chat
            )
            gone = Caller(reply)
            work.add_done_callback(
                lambda done: self._loop.call_soon_threadsafe(self._begin, done, reply, gone)
            )

    def _tell_between_steps(self, reply: Reply) -> None:
        assert self._generator is not None  # noqa: S101 - for the type checker: there are limits
        caller = Caller(reply)

        def send() -> None:
            if not caller.gone:
                reply.send(HTTPStatus.OK, b"{}")

        self._generator.between_steps(partial(self._loop.call_soon_threadsafe, send))

    def deliver(self, events: list[Event]) -> None:
        """What a step brought."""
        touched = set()
        for event in events:
            found = self._running.get(event.job)
            if found is not None:  # else its caller has left while the step ran
                completion, choice = found
                if event.finish is not None:
                    del self._running[event.job]
                completion.take(choice, event)
                touched.add(completion)
        for completion in touched:
            completion.flush()

    def _begin(self, prepared: Future[Prepared], reply: Reply, caller: Caller) -> None:
        """Generate what has been prepared, or tell what is wrong with it."""
        if caller.gone:
            return
        error = prepared.exception()
        if isinstance(error, BadRequest):
            reply.send(error.status, refusal(error))
            return
        if error is not None:
            reply.send(
                HTTPStatus.INTERNAL_SERVER_ERROR, error_body("the request failed", kind="server_error")
            )
            raise error  # to the loop's handler, which prints it
        assert self._generator is not None  # noqa: S101 - for the type checker: nothing is prepared before `ready`
        result = prepared.result()
        completion = Completion(
            reply,
            result.writer,
            result.choices,
            stream=result.parameters.stream,
            include_usage=result.parameters.include_usage,
            cancel=self._cancel,
            on_end=self._end,
        )
        for choice in result.choices:
            self._running[choice.job] = (completion, choice)
            self._generator.start(choice.job)
        self._metrics.requests_total += 1
        self._metrics.prompt_tokens_total += completion.prompt_tokens

    def _cancel(self, choice: Choice) -> None:
        assert self._generator is not None  # noqa: S101 - for the type checker: there is something to cancel
        if self._running.pop(choice.job, None) is not None:
            self._generator.cancel(choice.job)

    def _end(self, completion: Completion) -> None:
        self._metrics.generated_tokens_total += completion.generated_tokens
        self._metrics.requests_cancelled_total += completion.cancelled


class Caller:
    """Notices that the caller leaves before there is anything to cancel."""

    def __init__(self, reply: Reply) -> None:
        self.gone = False
        reply.on_gone = partial(setattr, self, "gone", True)


def _refuse(reply: Reply, status: int, message: str, *, headers: str = "") -> None:
    reply.send(status, error_body(message, kind="invalid_request_error"), headers=headers)
