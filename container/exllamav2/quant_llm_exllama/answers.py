"""OpenAI's answers as JSON: what a chat and a completion look like, whole and streamed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol

from quant_llm_exllama.backend import Logprob
from quant_llm_exllama.text import TokenText
from quant_llm_exllama.tokenizer import Tokenizer

_LOWEST_LOGPROB = -9999.0
"""OpenAI's number for minus infinity, which JSON hasn't."""

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Usage:
    """Tokens that were read and generated."""

    prompt_tokens: int
    completion_tokens: int

    def as_fields(self) -> dict[str, int]:
        """OpenAI's form."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


class Form(Protocol):
    """The difference between a chat and a completion."""

    kind: str
    chunk_kind: str
    prefix: str

    def choice(self, text: str) -> dict[str, Any]:
        """The text's place in a choice of a whole answer."""
        ...

    def delta(self, text: str, *, first: bool) -> str:
        """The same in a choice of a stream, as the JSON of some of its fields."""
        ...

    def logprobs(self, tokens: Sequence[TokenText], tokenizer: Tokenizer) -> dict[str, Any]:
        """The field `logprobs` of a choice."""
        ...


class Chat:
    """/v1/chat/completions."""

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def choice(self, text: str) -> dict[str, Any]:
        """A message."""
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def delta(self, text: str, *, first: bool) -> str:
        """A piece of the message, with its role at first."""
        role = '"role":"assistant",' if first else ""
        content = f'"content":{encode_basestring_ascii(text)}' if text or first else ""
        return f'"delta":{{{role}{content}}}'

    def logprobs(self, tokens: Sequence[TokenText], tokenizer: Tokenizer) -> dict[str, Any]:
        """A list of tokens."""
        content = []
        for token in tokens:
            own = _chat_token(token.token, token.logprob.token, tokenizer)
            top = [_chat_token(other, logprob, tokenizer) for other, logprob in token.logprob.top]
            content.append({**own, "top_logprobs": top})
        return {"content": content, "refusal": None}


class Completion:
    """/v1/completions."""

    kind = "text_completion"
    chunk_kind = "text_completion"
    prefix = "cmpl-"

    def choice(self, text: str) -> dict[str, Any]:
        """The bare text."""
        return {"text": text}

    def delta(self, text: str, *, first: bool) -> str:
        """The bare text."""
        return f'"text":{encode_basestring_ascii(text)}'

    def logprobs(self, tokens: Sequence[TokenText], tokenizer: Tokenizer) -> dict[str, Any]:
        """A list for each property."""
        return {
            "tokens": [tokenizer.piece(token.token)[0] for token in tokens],
            "token_logprobs": [_finite(token.logprob.token) for token in tokens],
            "top_logprobs": [_completion_top(token.logprob, tokenizer) for token in tokens],
            "text_offset": [token.offset for token in tokens],
        }


class Writer:
    """Writes one answer. What is the same in all of its events is made once."""

    def __init__(self, form: Form, model: str, tokenizer: Tokenizer, *, null_usage: bool) -> None:
        """`null_usage`: the caller wants the usage at the end, and the field as null before it."""
        self._form = form
        self._tokenizer = tokenizer
        self._head = {
            "id": form.prefix + uuid.uuid4().hex,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        constant = json.dumps({**self._head, "object": form.chunk_kind})[:-1]
        self._event_head = f'data: {constant},"choices":['
        self._event_end = '],"usage":null}\n\n' if null_usage else "]}\n\n"

    def event(
        self, index: int, text: str, tokens: Sequence[TokenText] | None, *, first: bool, finish: str | None
    ) -> bytes:
        """A piece of the answer `index`. `tokens` is None for no log probabilities."""
        return (
            f"{self._event_head}{self._choice(index, text, tokens, first, finish)}{self._event_end}".encode()
        )

    def last_event(
        self,
        index: int,
        text: str,
        tokens: Sequence[TokenText] | None,
        usage: Usage,
        *,
        first: bool,
        finish: str,
    ) -> bytes:
        """The same with the usage, which the container's log takes from the end of a stream."""
        choice = self._choice(index, text, tokens, first, finish)
        return f'{self._event_head}{choice}],"usage":{json.dumps(usage.as_fields())}}}\n\n'.encode()

    def usage_event(self, usage: Usage) -> bytes:
        """What `stream_options.include_usage` asks for."""
        return f'{self._event_head}],"usage":{json.dumps(usage.as_fields())}}}\n\n'.encode()

    def whole(self, choices: Sequence[tuple[str, Sequence[TokenText] | None, str]], usage: Usage) -> bytes:
        """A whole answer of choices: text, tokens or None, and why it ended."""
        written = [
            {
                "index": index,
                **self._form.choice(text),
                "logprobs": None if tokens is None else self._form.logprobs(tokens, self._tokenizer),
                "finish_reason": finish,
            }
            for index, (text, tokens, finish) in enumerate(choices)
        ]
        fields = {**self._head, "object": self._form.kind, "choices": written, "usage": usage.as_fields()}
        return json.dumps(fields).encode()

    def _choice(
        self, index: int, text: str, tokens: Sequence[TokenText] | None, first: bool, finish: str | None
    ) -> str:
        logprobs = "null" if tokens is None else json.dumps(self._form.logprobs(tokens, self._tokenizer))
        reason = "null" if finish is None else f'"{finish}"'
        delta = self._form.delta(text, first=first)
        return f'{{"index":{index},{delta},"logprobs":{logprobs},"finish_reason":{reason}}}'


def models(name: str, context_length: int, created: int) -> bytes:
    """/v1/models: the one model."""
    model: Mapping[str, Any] = {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "quantllm",
        "meta": {"n_ctx": context_length},
    }
    return json.dumps({"object": "list", "data": [model]}).encode()


def _chat_token(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    text, content = tokenizer.piece(token)
    return {"token": text, "logprob": _finite(logprob), "bytes": content}


def _completion_top(logprob: Logprob, tokenizer: Tokenizer) -> dict[str, float]:
    return {tokenizer.piece(token)[0]: _finite(value) for token, value in logprob.top}


def _finite(logprob: float) -> float:
    return max(logprob, _LOWEST_LOGPROB)
