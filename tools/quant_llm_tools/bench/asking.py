"""One request and its answer, by whatever way: the body, the stream's events, what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Protocol

from quant_llm_tools.invoke import text_of

Route = Literal["completions", "chat"]
Clock = Callable[[], float]

_DETAIL_CHARACTERS = 300


@dataclass(frozen=True)
class Form:
    """What is asked of the engine besides the prompt. `model` is what some servers want to be named."""

    route: Route
    max_tokens: int
    seed: int
    fixed_length: bool
    model: str | None = None

    def body(self, prompt: str, *, max_tokens: int | None = None) -> bytes:
        """A streamed request, greedy; `max_tokens` may differ for once.

        Engines ignore the fields of others: llama.cpp, ExLlama and vLLM know `ignore_eos`, vLLM `min_tokens`.
        """
        tokens = self.max_tokens if max_tokens is None else max_tokens
        fields: dict[str, Any] = {
            "max_tokens": tokens,
            "temperature": 0,
            "seed": self.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.model is not None:
            fields["model"] = self.model
        if self.fixed_length:
            fields |= {"ignore_eos": True, "min_tokens": tokens}
        if self.route == "chat":
            return json.dumps({**fields, "messages": [{"role": "user", "content": prompt}]}).encode()
        return json.dumps({**fields, "prompt": prompt}).encode()


@dataclass(frozen=True)
class Answer:
    """What came of a request. The moments are the clock's: `arrivals` of each piece of text.

    `error` is one of the kinds in `results.ERRORS`, None if all went well.
    """

    sent: float
    arrivals: tuple[float, ...]
    ended: float
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    text: str = ""
    error: str | None = None
    detail: str | None = None


class Target(Protocol):
    """What is measured. `ask` raises nothing: what goes wrong is in the answer."""

    async def ask(self, body: bytes) -> Answer:
        """Send a request and read its stream to the end."""
        ...

    async def prepare(self, streams: int) -> None:
        """Open the connections for so many requests at once, so that no request waits for one."""
        ...

    async def close(self) -> None:
        """Break off what runs, and close the connections."""
        ...


class AnswerReader:
    """Reads the server-sent events of a stream, and notes when each piece of text came.

    LMI, AWS's container of vLLM, sends the same objects as lines of JSON, without `data:`.
    """

    def __init__(self, sent: float) -> None:
        """`sent` is the moment at which the request was."""
        self._sent = sent
        self._arrivals: list[float] = []
        self._texts: list[str] = []
        self._usage: dict[str, Any] = {}
        self._failure: str | None = None
        self._rest = b""

    def feed(self, data: bytes, moment: float) -> None:
        """Bytes of the stream that came at `moment`; they begin and end anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = line.removeprefix(b"data:").strip()
            if event != b"[DONE]" and line.startswith((b"data:", b"{")):
                self._read(event, moment)

    def _read(self, data: bytes, moment: float) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            self._failure = f"an event is no JSON: {data[:80]!r}"
            return
        if not isinstance(event, dict):
            self._failure = f"an event is no object: {data[:80]!r}"
        elif event.get("error"):
            self._failure = json.dumps(event["error"])
        else:
            self._usage = event.get("usage") or self._usage
            if text := text_of(event):
                self._arrivals.append(moment)
                self._texts.append(text)

    def answer(self, ended: float) -> Answer:
        """The answer of a stream that came to its end."""
        if self._failure is not None:
            return self.failed("stream", self._failure, ended)
        if not self._arrivals:
            return self.failed("empty", "the stream had no text", ended)
        return self._answer(ended, None, None)

    def failed(self, error: str, detail: str, ended: float) -> Answer:
        """The answer of a request that failed, with what had come until then."""
        return self._answer(ended, error, " ".join(detail.split())[:_DETAIL_CHARACTERS])

    def _answer(self, ended: float, error: str | None, detail: str | None) -> Answer:
        return Answer(
            sent=self._sent,
            arrivals=tuple(self._arrivals),
            ended=ended,
            prompt_tokens=_count(self._usage, "prompt_tokens"),
            output_tokens=_count(self._usage, "completion_tokens"),
            text="".join(self._texts),
            error=error,
            detail=detail,
        )


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def kind_of_status(status: int) -> str:
    """The kind of error that an HTTP status is."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "throttled"
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT):
        return "timeout"
    return "server" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused"
