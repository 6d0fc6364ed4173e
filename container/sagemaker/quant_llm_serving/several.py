"""A stream of several answers as OpenAI has it.

Asked for several answers to one prompt, or to several prompts, llama.cpp counts the tokens of each answer by
itself and tells them where that answer ends: a caller would take one answer's for all. And where it begins
with another prompt it writes `data: null`, which OpenAI's clients can't read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quant_llm_serving.routes import CHAT, COMPLETIONS, Call

_END = b"\n\n"
_NULL = b"data: null"
_DONE = b"data: [DONE]"
_USAGE = b'"usage"'  # within a generated text its quotes would be escaped


def has_several_answers(call: Call) -> bool:
    """Whether the engine is asked for more than one answer."""
    if call.route not in (CHAT, COMPLETIONS):
        return False
    prompt = call.fields.get("prompt") if call.route == COMPLETIONS else None
    # A list with a number is one prompt, given as tokens.
    several_prompts = (
        isinstance(prompt, list) and len(prompt) > 1 and not any(isinstance(part, int) for part in prompt)
    )
    return several_prompts or _answers_per_prompt(call) != 1


class SeveralAnswers:
    """What the caller gets of the engine's stream, in which the engine was asked for usages."""

    def __init__(self, call: Call) -> None:
        """The usage of all answers is told at the end if `call` asks for it, or for one whole answer."""
        options = call.fields.get("stream_options") or {}
        self._tells_usage = not call.streamed or options.get("include_usage") is True
        self._per_prompt = _answers_per_prompt(call)
        self._read_tokens = 0
        self._generated_tokens = 0
        self._unfinished = b""
        self._like: dict[str, Any] = {}

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the engine's stream, and give what is for the caller; it may be nothing."""
        *events, self._unfinished = (self._unfinished + data).split(_END)
        return b"".join(event + _END for event in map(self._passed, events) if event)

    @property
    def usage(self) -> dict[str, int]:
        """Tokens of all answers that have ended; those of a prompt count once."""
        read = self._read_tokens // self._per_prompt
        return {
            "prompt_tokens": read,
            "completion_tokens": self._generated_tokens,
            "total_tokens": read + self._generated_tokens,
        }

    def _passed(self, event: bytes) -> bytes:
        if event == _NULL:
            return b""
        if event == _DONE and self._tells_usage:
            fields = {**self._like, "choices": [], "usage": self.usage}
            return b"data: " + json.dumps(fields).encode() + _END + event
        if _USAGE not in event:
            return event
        fields = json.loads(event.removeprefix(b"data: "))
        usage = fields.pop("usage")
        return event if usage is None else self._counted(fields, usage)

    def _counted(self, fields: dict[str, Any], usage: Mapping[str, int]) -> bytes:
        """The event of an answer's end, without its own usage; nothing if that was all."""
        self._read_tokens += usage["prompt_tokens"]
        self._generated_tokens += usage["completion_tokens"]
        fields.pop("timings", None)  # of the one answer as well
        self._like = fields
        return b"data: " + json.dumps(fields).encode() if fields["choices"] else b""


def _answers_per_prompt(call: Call) -> int:
    """OpenAI's field, or llama.cpp's own, which wins there. The engine refuses what is no number above 0."""
    for name in ("n_cmpl", "n"):
        value = call.fields.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return 1
