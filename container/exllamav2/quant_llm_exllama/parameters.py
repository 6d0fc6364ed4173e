"""What a request's body asks for, checked: OpenAI's fields and those of llama.cpp that mean more control.

Fields that nobody here knows are ignored, as llama.cpp ignores them. Fields of OpenAI's that would change the
answer, and can't be honoured, are refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quant_llm_exllama.backend import Sampling
from quant_llm_serving.routes import MOST_TOP_LOGPROBS, BadRequest

MOST_STOPS = 16  # OpenAI takes 4
MOST_CHOICES = 128  # of one request, over all its prompts

_REFUSED = (
    "tools",
    "functions",
    "function_call",
    "logit_bias",
    "audio",
    "prediction",
    "web_search_options",
    "echo",
    "suffix",
    "grammar",
    "json_schema",
)
"""Not one of these may have a value that asks for something."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How to answer. `max_tokens` is None for as many as fit; `top_logprobs` for no log probabilities."""

    stream: bool
    include_usage: bool
    choices: int
    max_tokens: int | None
    stops: tuple[str, ...]
    ignore_eos: bool
    top_logprobs: int | None
    response_format: Mapping[str, Any]
    sampling: Sampling


Prompt = str | list[int]


def read_body(body: bytes) -> dict[str, Any]:
    """The body's object. Raises BadRequest."""
    try:
        fields = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields


def read_parameters(fields: Mapping[str, Any], *, chat: bool) -> Parameters:
    """The parameters of a chat or a completion. Raises BadRequest with the field's name."""
    for name in _REFUSED:
        if fields.get(name):
            raise BadRequest(f"'{name}' is not supported by this engine", field=name)
    read = _Reader(fields)
    choices = read.integer("n", 1, least=1, most=MOST_CHOICES)
    if read.integer("best_of", choices, least=1, most=MOST_CHOICES) != choices:
        raise BadRequest(
            "'best_of' is not supported by this engine, expected the value of 'n'", field="best_of"
        )
    stream = read.boolean("stream")
    options = read.object("stream_options")
    if options and not stream:
        raise BadRequest("'stream_options' needs 'stream' to be true", field="stream_options")
    most_tokens = "max_completion_tokens" if fields.get("max_completion_tokens") is not None else "max_tokens"
    return Parameters(
        stream=stream,
        include_usage=_Reader(options, "stream_options.").boolean("include_usage"),
        choices=choices,
        max_tokens=read.integer(most_tokens, 0, least=1) or None,
        stops=read.stops(),
        ignore_eos=read.boolean("ignore_eos"),
        top_logprobs=_top_logprobs(read, chat=chat),
        response_format=read.object("response_format") or {"type": "text"},
        sampling=_sampling(read),
    )


def read_messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages with their content as text, as templates of text models expect it. Raises BadRequest."""
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list of at least one message", field="messages")
    read = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise BadRequest(f"'{where}' must be an object", field=where)
        if not isinstance(message.get("role"), str):
            raise BadRequest(f"'{where}.role' must be a string", field=f"{where}.role")
        read.append({**message, "content": _text(message.get("content"), f"{where}.content")})
    return read


def read_prompts(fields: Mapping[str, Any], vocabulary: int) -> list[Prompt]:
    """The prompts of a completion, each a text or token ids below `vocabulary`. Raises BadRequest."""
    prompt = fields.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and prompt:
        if all(_is_token(item, vocabulary) for item in prompt):
            return [prompt]
        if all(isinstance(item, str) or _is_tokens(item, vocabulary) for item in prompt):
            return prompt
    expected = f"a string, token ids from 0 to {vocabulary - 1}, or a list of either"
    raise BadRequest(f"'prompt' must be {expected}", field="prompt")


def _text(content: object, where: str) -> str:
    """A message's content; parts are joined by line feeds, as llama.cpp does."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequest(f"'{where}' must be a string or a list of parts", field=where)
    texts = []
    for index, part in enumerate(content):
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise BadRequest(f"'{where}[{index}]' must be a part of the type text", field=f"{where}[{index}]")
        texts.append(text)
    return "\n".join(texts)


def _is_token(value: object, vocabulary: int) -> bool:
    return type(value) is int and 0 <= value < vocabulary


def _is_tokens(value: object, vocabulary: int) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_token(item, vocabulary) for item in value)


def _sampling(read: _Reader) -> Sampling:
    top_p = read.number("top_p", 1.0, 0, 1)
    min_p = read.number("min_p", 0.0, 0, 1)
    temperature = read.number("temperature", 1.0, 0, 2)
    # The engines take a threshold that leaves only the likeliest token for none at all.
    greedy = temperature == 0 or top_p == 0 or min_p == 1
    penalty = "repeat_penalty" if read.has("repeat_penalty") else "repetition_penalty"  # llama.cpp's; vLLM's
    return Sampling(
        temperature=0.0 if greedy else temperature,
        top_p=1.0 if greedy else top_p,
        top_k=max(read.integer("top_k", 0, least=-1), 0),  # -1 is none as well, to vLLM
        min_p=0.0 if greedy else min_p,
        repetition_penalty=read.number(penalty, 1.0, 0.01, 10),
        frequency_penalty=read.number("frequency_penalty", 0.0, -2, 2),
        presence_penalty=read.number("presence_penalty", 0.0, -2, 2),
        seed=read.integer("seed", 0, least=-(2**63), most=2**64 - 1) if read.has("seed") else None,
    )


def _top_logprobs(read: _Reader, *, chat: bool) -> int | None:
    """A chat asks by two fields, a completion by a number."""
    if not chat:
        return read.integer("logprobs", 0, least=0, most=MOST_TOP_LOGPROBS) if read.has("logprobs") else None
    wanted = read.boolean("logprobs")
    count = read.integer("top_logprobs", 0, least=0, most=MOST_TOP_LOGPROBS)
    if count and not wanted:
        raise BadRequest("'top_logprobs' needs 'logprobs' to be true", field="top_logprobs")
    return count if wanted else None


class _Reader:
    """Fields by type; null is the same as leaving one out."""

    def __init__(self, fields: Mapping[str, Any], prefix: str = "") -> None:
        self._fields = fields
        self._prefix = prefix

    def has(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def boolean(self, name: str) -> bool:
        value = self._fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "a boolean")
        return bool(value)

    def object(self, name: str) -> Mapping[str, Any]:
        value = self._fields.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value or {}

    def integer(self, name: str, default: int, *, least: int, most: int = 2**31 - 1) -> int:
        value = self._fields.get(name)
        if value is None:
            return default
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name, f"an integer from {least} to {most}")
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        value = self._fields.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self._wrong(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def stops(self) -> tuple[str, ...]:
        value = self._fields.get("stop")
        stops: Sequence[object] = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(stops, list) or len(stops) > MOST_STOPS:
            raise self._wrong("stop", f"a string or a list of at most {MOST_STOPS}")
        texts = tuple(stop for stop in stops if isinstance(stop, str) and stop)
        if len(texts) != len(stops):
            raise self._wrong("stop", "made of strings that are not empty")
        return texts

    def _wrong(self, name: str, expected: str) -> BadRequest:
        return BadRequest(f"'{self._prefix}{name}' must be {expected}", field=f"{self._prefix}{name}")
