"""What the container does with each request: answer it, refuse it, or hand it to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import traceback
import uuid
from collections import deque
from http import HTTPStatus
from pathlib import Path

from quant_llm_serving.adapters import Adapters
from quant_llm_serving.assembly import as_stream, can_be_assembled
from quant_llm_serving.embedded_metrics import with_metrics
from quant_llm_serving.environment import Environment
from quant_llm_serving.forwarding import Forwarding, Outcome
from quant_llm_serving.health import Health
from quant_llm_serving.http_server import ClientConnection, Request
from quant_llm_serving.log import Log
from quant_llm_serving.metrics import CONTENT_TYPE, Metrics
from quant_llm_serving.proxy import EngineAddress, EngineUnreachable, call
from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import (
    INVOCATIONS_PATH,
    MODELS,
    Abilities,
    BadRequest,
    Call,
    error_body,
    read_call,
)
from quant_llm_serving.several import SeveralAnswers, has_several_answers

_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_INFERENCE_ID = "x-amzn-sagemaker-inference-id"
_ID_LENGTH = 256
_PING = "/ping"
_METRICS = "/metrics"
_OPENAPI = "/openapi.json"
_MODELS = (MODELS, f"/openai{MODELS}")
GETS = (_PING, _METRICS, _OPENAPI, *_MODELS)
"""The paths that are read."""

_POSTS = (INVOCATIONS_PATH, "/v1/", "/openai/v1/")
OPENAPI_FILE = Path(__file__).with_name("openapi.json")
_SHORT_SECONDS = 1.0  # for what the engine answers at once, if it answers


class Service:
    """The container's routes, in front of `engine`.

    The engine gets as many requests at once as it has slots. The others wait here, where one whose caller has
    gone costs nothing, and where they take none of the threads in which the engine answers health checks.
    """

    def __init__(
        self,
        *,
        environment: Environment,
        health: Health,
        abilities: Abilities,
        engine: EngineAddress,
        log: Log,
        adapters: Adapters | None = None,
    ) -> None:
        """The limits, and what /invocations means, are the environment's."""
        self._adapters = adapters
        self._environment = environment
        self._health = health
        self._abilities = abilities
        self._engine = engine
        self._log = log
        self._metrics = Metrics()
        self._name = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)
        self._running: set[Forwarding] = set()
        self._waiting: deque[Forwarding] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._answering: set[asyncio.Task[None]] = set()
        self._description = OPENAPI_FILE.read_bytes()

    @property
    def unfinished(self) -> int:
        """How many requests are with the engine or wait for it."""
        return len(self._running) + len(self._waiting)

    def connection(self) -> ClientConnection:
        """The protocol of a new connection."""
        return ClientConnection(self.handle)

    async def idle(self) -> None:
        """Wait until no request is unfinished."""
        await self._idle.wait()

    def refuse_unanswered(self, reason: str) -> None:
        """Give up what waits, and what the engine has begun and not answered yet."""
        for forwarding in (*self._waiting, *self._running):
            if not forwarding.answered:
                forwarding.refuse(reason)

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer `request`, now or as the engine does."""
        try:
            self._handle(request, reply)
        except Exception:  # a bug of ours must not leave the caller without an answer, nor the log without it
            self._log.event("a request failed", level="error", traceback=traceback.format_exc())
            if not reply.started:
                self._refuse(reply, HTTPStatus.INTERNAL_SERVER_ERROR, "internal error", kind="server_error")

    def _handle(self, request: Request, reply: Reply) -> None:
        if request.path in GETS:
            if request.method == "GET":
                self._get(request.path, reply)
            else:
                self._refuse_method(request, reply, "GET")
        elif request.path == INVOCATIONS_PATH or request.path.startswith(_POSTS[1:]):
            if request.method == "POST":
                self._post(request, reply)
            else:
                self._refuse_method(request, reply, "POST")
        else:
            expected = f"{', '.join((INVOCATIONS_PATH, *GETS[:3]))} or a path under {' or '.join(_POSTS[1:])}"
            self._refuse(reply, HTTPStatus.NOT_FOUND, f"no such path, expected {expected}")

    def _get(self, path: str, reply: Reply) -> None:
        if path == _PING:
            if trouble := self._health.trouble:
                self._refuse_for_now(reply, trouble)
            else:
                reply.send(HTTPStatus.OK, b"{}\n")
        elif path == _OPENAPI:
            reply.send(HTTPStatus.OK, self._description)
        else:
            task = asyncio.ensure_future(
                self._send_metrics(reply) if path == _METRICS else self._send_models(reply)
            )
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _send_metrics(self, reply: Reply) -> None:
        """Our metrics, and after them the engine's if it answers."""
        engines = b""
        if self._health.ready:
            with contextlib.suppress(EngineUnreachable, TimeoutError):
                async with asyncio.timeout(_SHORT_SECONDS):
                    status, text = await call(self._engine, "GET", _METRICS)
                engines = text if status == HTTPStatus.OK else b""
        ours = self._metrics.text(
            slots=self._abilities.slots,
            running=len(self._running),
            waiting=len(self._waiting),
            healthy=self._health.trouble is None,
        )
        reply.send(HTTPStatus.OK, ours + engines, content_type=CONTENT_TYPE)

    async def _send_models(self, reply: Reply) -> None:
        if trouble := self._health.trouble:
            self._refuse_for_now(reply, trouble)
            return
        try:
            async with asyncio.timeout(_SHORT_SECONDS):
                status, body = await call(self._engine, "GET", MODELS)
        except (EngineUnreachable, TimeoutError):
            self._refuse_for_now(reply, "the engine does not answer")
        else:
            if self._adapters is not None and status == HTTPStatus.OK:
                body = self._adapters.listed(body)
            reply.send(status, body)

    def _post(self, request: Request, reply: Reply) -> None:
        """The one gate that all work for the engine passes."""
        request_id = request.headers.get(_INFERENCE_ID, "")[:_ID_LENGTH] or self._new_id()
        if trouble := self._health.trouble:
            self._refuse_for_now(reply, trouble, request_id=request_id)
            return
        try:
            wanted = read_call(
                request.path,
                request.headers.get(_ATTRIBUTES, ""),
                self._environment.invocations_route,
                request.body,
                self._abilities,
            )
            body = self._adapted(request.body, wanted)
        except BadRequest as error:
            self._refuse(reply, error.status, error.message, field=error.field, request_id=request_id)
            return
        if len(self._running) >= self._abilities.slots and self._is_full():
            self._refuse_for_now(
                reply,
                f"{len(self._waiting)} requests are waiting already, try again later",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                kind="rate_limit_error",
                request_id=request_id,
            )
            return
        assembled = self._abilities.notices_late and can_be_assembled(wanted)
        streams = assembled or wanted.streamed
        apart = streams and self._abilities.counts_apart and has_several_answers(wanted)

        def done(forwarding: Forwarding, outcome: Outcome) -> None:
            self._remove(forwarding)
            self._record(request_id, wanted.route, outcome)

        self._admit(
            Forwarding(
                "POST",
                wanted.route,
                as_stream(body) if assembled or apart else body,
                reply,
                seconds=(
                    self._environment.stream_seconds if wanted.streamed else self._environment.request_seconds
                ),
                on_done=done,
                assembled=assembled,
                several=SeveralAnswers(wanted) if apart else None,
                mistakes=self._abilities.mistakes,
            )
        )

    def _adapted(self, body: bytes, wanted: Call) -> bytes:
        if self._adapters is not None:
            return self._adapters.applied(body, wanted.fields, wanted.adapter)
        if wanted.adapter is not None:
            raise BadRequest("'adapter' names one, and this endpoint has none", field="adapter", status=404)
        return body

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._environment.queue_length

    def _admit(self, forwarding: Forwarding) -> None:
        """Start it, or let it wait behind those that came before."""
        self._idle.clear()
        self._waiting.append(forwarding)
        self._fill_slots()

    def _fill_slots(self) -> None:
        while self._waiting and len(self._running) < self._abilities.slots:
            forwarding = self._waiting.popleft()
            self._running.add(forwarding)
            forwarding.start_at(self._engine)

    def _remove(self, forwarding: Forwarding) -> None:
        if forwarding in self._running:
            self._running.remove(forwarding)
            if self._waiting:
                # Not at once: with an engine that is gone, each would end the next from within.
                asyncio.get_running_loop().call_soon(self._fill_slots)
        else:
            self._waiting.remove(forwarding)
        if not self.unfinished:
            self._idle.set()

    def _record(self, request_id: str, route: str, outcome: Outcome) -> None:
        self._metrics.served(
            route=route,
            status=outcome.status,
            seconds=outcome.seconds,
            first_token_seconds=outcome.first_token_seconds,
            prompt_tokens=outcome.prompt_tokens,
            generated_tokens=outcome.generated_tokens,
        )
        fields = {"request_id": request_id, "route": route, **outcome.fields()}
        self._log.event("request", **with_metrics(fields, self._environment.endpoint_name))

    def _new_id(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    def _refuse(
        self,
        reply: Reply,
        status: int,
        message: str,
        *,
        field: str | None = None,
        kind: str = "invalid_request_error",
        headers: str = "",
        request_id: str | None = None,
    ) -> None:
        """Say no. What a caller wrote is not logged, and the message may repeat some of it."""
        reply.send(status, error_body(message, kind=kind, field=field), headers=headers)
        if request_id is not None:
            self._metrics.refused(status)
            self._log.event(
                "request", request_id=request_id, route=None, status=status, outcome="refused", field=field
            )

    def _refuse_method(self, request: Request, reply: Reply, allowed: str) -> None:
        message = f"{request.path} takes {allowed}, got {request.method}"
        self._refuse(reply, HTTPStatus.METHOD_NOT_ALLOWED, message, headers=f"Allow: {allowed}\r\n")

    def _refuse_for_now(
        self,
        reply: Reply,
        trouble: str,
        *,
        status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE,
        kind: str = "unavailable_error",
        request_id: str | None = None,
    ) -> None:
        self._refuse(reply, status, trouble, kind=kind, headers="Retry-After: 1\r\n", request_id=request_id)
