"""One request while it is generated: its jobs, and the answer that comes of their events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from quant_llm_exllama.answers import DONE, Usage, Writer
from quant_llm_exllama.backend import Event, Job
from quant_llm_exllama.text import AnswerText, TokenText
from quant_llm_serving.reply import Reply
from quant_llm_serving.routes import error_body

_FAILED = "the engine could not generate this answer"


@dataclass(eq=False, slots=True)
class Choice:
    """One of a request's answers."""

    index: int
    job: Job
    text: AnswerText
    pieces: list[str] = field(default_factory=list)
    first: bool = True
    finish: str | None = None


class Completion:
    """Turns events into the answer to one request. All is called in the event loop."""

    def __init__(
        self,
        reply: Reply,
        writer: Writer,
        choices: Sequence[Choice],
        *,
        stream: bool,
        include_usage: bool,
        cancel: Callable[[Choice], None],
        on_end: Callable[[Completion], None],
    ) -> None:
        """`cancel` is called for a choice that needs no more tokens, `on_end` once, when all is said."""
        self.choices = choices
        self.generated_tokens = 0
        self.cancelled = False
        self.prompt_tokens = sum(
            {id(choice.job.prompt): len(choice.job.prompt) for choice in choices}.values()
        )
        self._reply = reply
        self._writer = writer
        self._stream = stream
        self._include_usage = include_usage
        self._cancel = cancel
        self._on_end = on_end
        self._unfinished = len(choices)
        self._ended = False
        self._unsent = False
        reply.on_gone = self._gone

    def take(self, choice: Choice, event: Event) -> None:
        """What a step brought one of the choices. `flush` sends it."""
        if self._ended or choice.finish is not None:
            return
        self.generated_tokens += len(event.tokens)
        if event.finish == "error":
            self._fail()
            return
        tokens, logprobs = event.tokens, event.logprobs
        if event.finish == "stop" and tokens and tokens[-1] in choice.job.stop_tokens:
            tokens, logprobs = tokens[:-1], logprobs[:-1]
        text = choice.text.feed(tokens, logprobs)
        if choice.text.stopped:
            choice.finish = "stop"
            if event.finish is None:
                self._cancel(choice)
        elif event.finish is not None:
            choice.finish = event.finish
            text += choice.text.end()
        if choice.finish is not None:
            self._unfinished -= 1
        if self._stream:
            self._write(choice, text)
        else:
            choice.pieces.append(text)
        if not self._unfinished:
            self._end()

    def flush(self) -> None:
        """Send what has been written."""
        if self._unsent and not self._ended:
            self._unsent = False
            self._reply.flush()

    def _write(self, choice: Choice, text: str) -> None:
        tokens = self._take_tokens(choice)
        if not text and not tokens and choice.finish is None:
            return
        if not self._reply.started:
            self._reply.start(HTTPStatus.OK, "text/event-stream", None)
        first, choice.first = choice.first, False
        if self._unfinished or choice.finish is None or self._include_usage:
            data = self._writer.event(choice.index, text, tokens, first=first, finish=choice.finish)
        else:
            data = self._writer.last_event(
                choice.index, text, tokens, self._usage(), first=first, finish=choice.finish
            )
        self._reply.write(data)
        self._unsent = True

    def _end(self) -> None:
        self._ended = True
        if self._stream:
            if self._include_usage:
                self._reply.write(self._writer.usage_event(self._usage()))
            self._reply.write(DONE)
            self._reply.end()
        else:
            choices = [
                ("".join(choice.pieces), self._take_tokens(choice), choice.finish or "stop")
                for choice in self.choices
            ]
            self._reply.send(HTTPStatus.OK, self._writer.whole(choices, self._usage()))
        self._on_end(self)

    def _fail(self) -> None:
        """Tell it, in the stream if that has begun."""
        self._ended = True
        self._cancel_all()
        body = error_body(_FAILED, kind="server_error")
        if self._reply.started:
            self._reply.write(b"data: " + body + b"\n\n")
            self._reply.end()
        else:
            self._reply.send(HTTPStatus.INTERNAL_SERVER_ERROR, body)
        self._on_end(self)

    def _gone(self) -> None:
        """The caller has left."""
        if not self._ended:
            self._ended = True
            self.cancelled = True
            self._cancel_all()
            self._on_end(self)

    def _cancel_all(self) -> None:
        for choice in self.choices:
            if choice.finish is None:
                self._cancel(choice)

    def _take_tokens(self, choice: Choice) -> list[TokenText] | None:
        if choice.job.top_logprobs is None:
            return None
        return choice.text.take_tokens(last=choice.finish is not None)

    def _usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.generated_tokens)
