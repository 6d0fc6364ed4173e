"""One request on its way through the engine, and the log line that tells how it went."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from quant_llm_serving.log import Log
from quant_llm_serving.proxy import EngineExchange
from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import error_body


class Forwarding:
    """The engine's answer, passed on to the caller as it comes. Whichever side leaves first ends both."""

    def __init__(
        self, method: str, path: str, body: bytes, reply: Reply, *, request_id: str, log: Log
    ) -> None:
        """Prepare the request for the engine's `path`; nothing is sent before `exchange` runs."""
        self.exchange = EngineExchange(method, path, body, self)
        self.on_done: Callable[[], None] = lambda: None
        self._reply = reply
        self._logged = method == "POST"  # metrics are read every few seconds
        self._path = path
        self._request_id = request_id
        self._log = log
        self._status = 0
        self._started = time.monotonic()
        self._first_byte: float | None = None
        reply.on_gone = self._gone
        reply.on_pause = self.exchange.pause

    # proxy.Sink

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """The head of the engine's answer."""
        self._status = status
        self._reply.start(status, content_type, length)

    def write(self, data: bytes) -> None:
        """A piece of the engine's answer."""
        if self._first_byte is None:
            self._first_byte = time.monotonic()
        self._reply.write(data)

    def flush(self) -> None:
        """What there is so far goes out."""
        self._reply.flush()

    def end(self) -> None:
        """The engine's answer is whole."""
        self._reply.end()
        self._finish("finished")

    def fail(self, reason: str) -> None:
        """The engine is gone: say so if there is still a chance to, else break the connection."""
        if self._reply.started:
            self._reply.abort()
        else:
            self._status = HTTPStatus.BAD_GATEWAY
            self._reply.send(self._status, error_body(reason, kind="server_error"))
        self._finish(reason)

    def _gone(self) -> None:
        self.exchange.cancel()
        self._finish("the caller left")

    def _finish(self, outcome: str) -> None:
        self._reply.on_gone = None
        self._reply.on_pause = None
        if self._logged:
            self._log_line(outcome)
        self.on_done()

    def _log_line(self, outcome: str) -> None:
        now = time.monotonic()
        first = None if self._first_byte is None else round((self._first_byte - self._started) * 1000, 1)
        self._log.event(
            "request",
            request_id=self._request_id,
            route=self._path,
            status=self._status,
            outcome=outcome,
            milliseconds=round((now - self._started) * 1000, 1),
            first_byte_milliseconds=first,
        )
