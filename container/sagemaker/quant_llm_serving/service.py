"""What the container does with each request: answer it, refuse it, or hand it to the engine."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from http import HTTPStatus
from pathlib import Path

from quant_llm_serving.forwarding import Forwarding
from quant_llm_serving.health import Health
from quant_llm_serving.http_server import ClientConnection, Request
from quant_llm_serving.log import Log
from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import (
    INVOCATIONS_PATH,
    MODELS,
    Abilities,
    BadRequest,
    choose_route,
    error_body,
)

_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_INFERENCE_ID = "x-amzn-sagemaker-inference-id"
_PING = "/ping"
_METRICS = "/metrics"
_GETS = {_PING: _PING, _METRICS: _METRICS, MODELS: MODELS, f"/openai{MODELS}": MODELS}
_POSTS = (INVOCATIONS_PATH, "/v1/", "/openai/v1/")


class Service:
    """The container's routes, in front of the engine at `socket`."""

    def __init__(
        self, *, health: Health, abilities: Abilities, fixed_route: str | None, socket: Path, log: Log
    ) -> None:
        """`fixed_route` is what /invocations means, or None if the body tells."""
        self._health = health
        self._abilities = abilities
        self._fixed_route = fixed_route
        self._socket = socket
        self._log = log
        self._name = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)
        self._running: set[Forwarding] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """How many requests are with the engine."""
        return len(self._running)

    def connection(self) -> ClientConnection:
        """The protocol of a new connection."""
        return ClientConnection(self.handle)

    async def idle(self) -> None:
        """Wait until no request is with the engine."""
        await self._idle.wait()

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer `request`, now or as the engine does."""
        if request.path in _GETS:
            if request.method != "GET":
                _refuse_method(request, reply, "GET")
            elif request.path == _PING:
                self._ping(reply)
            else:
                self._get(_GETS[request.path], request, reply)
        elif request.path == INVOCATIONS_PATH or request.path.startswith(_POSTS[1:]):
            if request.method != "POST":
                _refuse_method(request, reply, "POST")
            else:
                self._post(request, reply)
        else:
            expected = f"{_PING}, {INVOCATIONS_PATH}, {_METRICS} or a path under {' or '.join(_POSTS[1:])}"
            _refuse(reply, HTTPStatus.NOT_FOUND, f"no such path, expected {expected}")

    def _ping(self, reply: Reply) -> None:
        if trouble := self._health.trouble:
            _refuse_for_now(reply, trouble)
        else:
            reply.send(HTTPStatus.OK, b"{}\n")

    def _get(self, path: str, request: Request, reply: Reply) -> None:
        if self._health.ready:
            self._forward("GET", path, b"", request, reply)
        else:
            _refuse_for_now(reply, self._health.trouble or "")

    def _post(self, request: Request, reply: Reply) -> None:
        """The one gate that all work for the engine passes."""
        if trouble := self._health.trouble:
            _refuse_for_now(reply, trouble)
            return
        try:
            route = choose_route(
                request.path,
                request.headers.get(_ATTRIBUTES, ""),
                self._fixed_route,
                request.body,
                self._abilities,
            )
        except BadRequest as error:
            _refuse(reply, error.status, error.message, field=error.field)
            return
        self._forward("POST", route, request.body, request, reply)

    def _forward(self, method: str, path: str, body: bytes, request: Request, reply: Reply) -> None:
        request_id = request.headers.get(_INFERENCE_ID) or f"{self._name}-{next(self._numbers)}"
        forwarding = Forwarding(method, path, body, reply, request_id=request_id, log=self._log)
        forwarding.on_done = lambda: self._done(forwarding)
        self._idle.clear()
        self._running.add(forwarding)
        forwarding.exchange.start(self._socket)

    def _done(self, forwarding: Forwarding) -> None:
        self._running.remove(forwarding)
        if not self._running:
            self._idle.set()


def _refuse(reply: Reply, status: int, message: str, *, field: str | None = None, headers: str = "") -> None:
    body = error_body(message, kind="invalid_request_error", field=field)
    reply.send(status, body, headers=headers)


def _refuse_method(request: Request, reply: Reply, allowed: str) -> None:
    message = f"{request.path} takes {allowed}, got {request.method}"
    _refuse(reply, HTTPStatus.METHOD_NOT_ALLOWED, message, headers=f"Allow: {allowed}\r\n")


def _refuse_for_now(reply: Reply, trouble: str) -> None:
    body = error_body(trouble, kind="unavailable_error")
    reply.send(HTTPStatus.SERVICE_UNAVAILABLE, body, headers="Retry-After: 1\r\n")
