"""One request on its way through the engine, and the log line that tells how it went."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from quant_llm_serving.assembly import assemble
from quant_llm_serving.embedded_metrics import (
    FIRST_TOKEN,
    GENERATED_TOKENS,
    PROMPT_TOKENS,
    TOKENS_PER_SECOND,
)
from quant_llm_serving.proxy import EngineAddress, EngineExchange
from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import error_body
from quant_llm_serving.several import SeveralAnswers

_TAIL_PIECES = 4  # the last event, `[DONE]` and the end of the chunks may each come by themselves
_TOKEN_COUNT = re.compile(
    rb'"(prompt_tokens|completion_tokens|input_tokens|output_tokens|prompt_n|cache_n|predicted_n)"'
    rb"\s*:\s*(\d{1,18})(?!\d)"
)
_EVENT_STREAM = "text/event-stream"


@dataclass(slots=True)
class Outcome:
    """How a request went: times in seconds from its arrival, None for what isn't known."""

    status: int
    words: str
    seconds: float
    waited_seconds: float | None
    first_token_seconds: float | None
    prompt_tokens: int | None
    generated_tokens: int | None

    @property
    def tokens_per_second(self) -> float | None:
        """The rate of the tokens after the first one; None without a second one, or where it isn't known.

        The time of the first is no part of it: that is the prompt's, and the wait's.
        """
        if self.first_token_seconds is None or self.generated_tokens is None or self.generated_tokens < 2:
            return None
        seconds = self.seconds - self.first_token_seconds
        return (self.generated_tokens - 1) / seconds if seconds > 0 else None

    def fields(self) -> dict[str, object]:
        """What the log says of it."""
        return {
            "status": self.status,
            "outcome": self.words,
            "milliseconds": _rounded(self.seconds, 1000),
            "waited_milliseconds": _rounded(self.waited_seconds, 1000),
            FIRST_TOKEN: _rounded(self.first_token_seconds, 1000),
            TOKENS_PER_SECOND: _rounded(self.tokens_per_second),
            PROMPT_TOKENS: self.prompt_tokens,
            GENERATED_TOKENS: self.generated_tokens,
        }


class Forwarding:
    """The engine's answer, passed on to the caller as it comes. Whichever side leaves first ends both.

    With `assembled`, `body` asks for a stream and the caller gets the whole answer out of it; with `several`
    it asks for a stream with its usage, and the caller gets what that makes of it.
    `on_done` is called once, when nothing is left to do.
    """

    def __init__(
        self,
        method: str,
        path: str,
        body: bytes,
        reply: Reply,
        *,
        seconds: float,
        on_done: Callable[[Forwarding, Outcome], None],
        assembled: bool = False,
        several: SeveralAnswers | None = None,
        mistakes: tuple[str, ...] = (),
    ) -> None:
        """Prepare the request for the engine's `path`; it may take `seconds` from now, waiting included.

        An error 500 whose message starts with one of `mistakes` is the caller's.
        """
        self._exchange = EngineExchange(method, path, body, self)
        self._reply = reply
        self._on_done = on_done
        self._assembled = assembled
        self._several = several
        self._mistakes = mistakes
        self._collected: list[bytes] | None = None
        self._tail: deque[bytes] = deque(maxlen=_TAIL_PIECES)
        self._streams = False
        self._status = 0
        self._seconds = seconds
        self._arrived = time.monotonic()
        self._started: float | None = None
        self._first_token: float | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out)
        reply.on_gone = self._gone
        reply.on_pause = self._exchange.pause

    def start_at(self, engine: EngineAddress) -> None:
        """Send the request to the engine."""
        self._started = time.monotonic()
        self._exchange.start(engine)

    # proxy.Sink

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """The head of the engine's answer."""
        self._status = status
        self._streams = content_type.startswith(_EVENT_STREAM)
        if (self._assembled and self._streams) or status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._collected = []
        else:
            self._reply.start(status, content_type, length)

    def write(self, data: bytes) -> None:
        """A piece of the engine's answer."""
        if self._first_token is None and self._streams:
            self._first_token = time.monotonic()
        if self._several is not None and self._streams:
            data = self._several.feed(data)
            if not data:  # which would end a chunked body
                return
        if self._collected is None:
            self._tail.append(data)
            self._reply.write(data)
        else:
            self._collected.append(data)

    def flush(self) -> None:
        """What there is so far goes out."""
        if self._collected is None:
            self._reply.flush()

    def end(self) -> None:
        """The engine's answer is whole."""
        if self._collected is None:
            if self._several is not None and self._streams:
                self._tail.append(json.dumps(self._several.usage).encode())
            self._reply.end()
        else:
            body = b"".join(self._collected)
            if self._streams:
                try:
                    self._status, body = assemble(body)
                except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                    self.fail(f"the engine's stream is not as expected: {error!r}")
                    return
            if mistake := self._mistake(body):
                self._status, body = (
                    HTTPStatus.BAD_REQUEST,
                    error_body(mistake, kind="invalid_request_error"),
                )
            self._tail.append(body)
            self._reply.send(self._status, body)
        self._finish("finished")

    def fail(self, reason: str) -> None:
        """The engine is gone: say so if there is still a chance to, else break the connection."""
        self._give_up(HTTPStatus.BAD_GATEWAY, reason, kind="server_error")

    def _mistake(self, body: bytes) -> str | None:
        """What the caller did wrong, if that is what the engine's error is about."""
        if self._status != HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        try:
            message = json.loads(body)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            return None
        return message if isinstance(message, str) and message.startswith(self._mistakes) else None

    @property
    def answered(self) -> bool:
        """Whether a part of the answer is on its way to the caller."""
        return self._reply.started

    def refuse(self, reason: str) -> None:
        """Give up before the caller was told anything: another container may do it."""
        self._exchange.cancel()
        self._give_up(
            HTTPStatus.SERVICE_UNAVAILABLE, reason, kind="unavailable_error", headers="Retry-After: 1\r\n"
        )

    def _time_out(self) -> None:
        self._exchange.cancel()
        message = f"the answer was not complete after {self._seconds:g} s"
        self._give_up(HTTPStatus.GATEWAY_TIMEOUT, message, kind="timeout_error")

    def _gone(self) -> None:
        self._exchange.cancel()
        self._finish("the caller left")

    def _give_up(self, status: HTTPStatus, reason: str, *, kind: str, headers: str = "") -> None:
        if self._reply.started:
            self._reply.abort()
        else:
            self._status = status
            self._reply.send(status, error_body(reason, kind=kind), headers=headers)
        self._finish(reason)

    def _finish(self, words: str) -> None:
        self._timer.cancel()
        self._reply.on_gone = None
        self._reply.on_pause = None
        prompt_tokens, generated_tokens = token_counts(b"".join(self._tail))
        self._on_done(
            self,
            Outcome(
                status=self._status,
                words=words,
                seconds=time.monotonic() - self._arrived,
                waited_seconds=self._since_arrival(self._started),
                first_token_seconds=self._since_arrival(self._first_token),
                prompt_tokens=prompt_tokens,
                generated_tokens=generated_tokens,
            ),
        )

    def _since_arrival(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self._arrived


def token_counts(tail: bytes) -> tuple[int | None, int | None]:
    """Tokens of the prompt and generated ones, as the end of an answer tells them: the last of each name.

    By OpenAI's `usage`, whose names are others in /v1/responses, or by `timings`, which llama.cpp puts into
    the last event of every stream. In a text that somebody generated the quotes around the names would be
    escaped.
    """
    found = {match[1]: int(match[2]) for match in _TOKEN_COUNT.finditer(tail)}
    if b"prompt_tokens" in found:
        return found[b"prompt_tokens"], found.get(b"completion_tokens")
    if b"input_tokens" in found:
        return found[b"input_tokens"], found.get(b"output_tokens")
    if b"prompt_n" in found:
        return found[b"prompt_n"] + found.get(b"cache_n", 0), found.get(b"predicted_n")
    return None, None


def _rounded(value: float | None, factor: float = 1) -> float | None:
    return None if value is None else round(value * factor, 1)
