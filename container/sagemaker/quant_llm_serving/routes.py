"""Which of the engine's routes a request is for, and whether its body fits: pure functions of the request.

What is wrong with a body is told in OpenAI's form, with the field's name, before the engine sees it: engines
tend to answer 500 for what is the caller's mistake.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
MODELS = "/v1/models"

MOST_TOP_LOGPROBS = 20
"""As OpenAI. With all of a vocabulary for each token, one long answer would take the engine's last memory."""

MOST_PARENTHESES = 5000
MOST_REFERENCES = 1000
"""llama.cpp follows parentheses and references by recursion: some 20,000 and 4,000 in each other end it."""

MOST_LAST_TOKENS = 1_000_000
MOST_BREAKERS = 100
"""llama.cpp makes room for all of those tokens, 8 GB for 2**31, and looks for each breaker in every word."""

PULSE = "/pulse"

INVOCATION_ROUTES = (CHAT, COMPLETIONS, EMBEDDINGS)
"""What /invocations can mean."""

INVOCATIONS_PATH = "/invocations"
_OPENAI_PREFIX = "/openai"  # SageMaker's OpenAI routes arrive as /openai/v1/...
_ROUTE_OF_FIELD = {"messages": CHAT, "prompt": COMPLETIONS, "input": EMBEDDINGS}
_FIELD_OF_ROUTE = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input", RESPONSES: "input"}


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


class BadRequest(Exception):
    """The caller's mistake: an HTTP status, a message, and the field that it is about."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        """`field` is the body's, by its name in OpenAI's API."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What the engine serves as it was started: POST routes, and the types of a message's content parts.

    `routes` holds any of those that this module names. `slots` is how many requests the engine works on at
    once: it never gets more. `notices_late` is for an engine that generates a whole answer to its end though
    nobody waits for it any more: it is asked for a stream instead (see `assembly`). `mistakes` is for an
    engine that answers 500 to wrong requests: how the message of such an error starts. Callers get a 400.
    `counts_apart` is for an engine that tells no usage of several answers together (see `several`). The
    engine answers GET `pulse` between two steps of its work, and not while one goes on.
    """

    routes: frozenset[str]
    content_types: frozenset[str]
    slots: int
    notices_late: bool = False
    mistakes: tuple[str, ...] = ()
    counts_apart: bool = False
    pulse: str = PULSE


@dataclass(frozen=True)
class Call:
    """A request that fits: the engine's route for it, the body's fields, the adapter that a header names."""

    route: str
    fields: Mapping[str, Any]
    adapter: str | None = None

    @property
    def streamed(self) -> bool:
        """Whether the caller wants the answer as it is generated."""
        return self.fields.get("stream") is True


def read_call(path: str, attributes: str, fixed_route: str | None, body: bytes, abilities: Abilities) -> Call:
    """What a POST to `path` asks of the engine, its body checked.

    `attributes` is the header X-Amzn-SageMaker-Custom-Attributes: its `route=` wins for /invocations, then
    `fixed_route`, then the body's fields tell. Its `adapter=` is taken as it is. Raises BadRequest.
    """
    if path == INVOCATIONS_PATH:
        route = _attribute(attributes, "route") or fixed_route
    else:
        route = path.removeprefix(_OPENAI_PREFIX)
        if route not in abilities.routes:  # before the body: a wrong address is the first thing to mend
            raise BadRequest(f"no such route: POST {path}, {_served(abilities)}", status=404)
    fields = _object(body)
    route = route or _route_of(fields)
    if route not in abilities.routes:
        raise BadRequest(f"this endpoint does not serve {route}, {_served(abilities)}")
    _check(route, fields, abilities)
    return Call(route, fields, _attribute(attributes, "adapter"))


def error_body(message: str, *, kind: str, field: str | None = None) -> bytes:
    """An error in the form of OpenAI's API."""
    error = {"message": message, "type": kind, "param": field, "code": None}
    return json.dumps({"error": error}).encode()


def _served(abilities: Abilities) -> str:
    return f"expected one of {', '.join(sorted(abilities.routes))}"


def _attribute(attributes: str, name: str) -> str | None:
    for attribute in attributes.replace(";", ",").split(","):
        key, _, value = attribute.partition("=")
        if key.strip() == name:
            return value.strip()
    return None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        fields = _decode(body.decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequest(f"the body must be a JSON object, got {_kind(fields)}")
    return fields


def _route_of(fields: Mapping[str, Any]) -> str:
    named = [field for field in _ROUTE_OF_FIELD if fields.get(field) is not None]
    if len(named) != 1:
        got = " and ".join(f"'{field}'" for field in named) or "none of them"
        raise BadRequest(
            f"the body must have one of 'messages', 'prompt' and 'input', got {got}",
            field=named[0] if named else "messages",
        )
    return _ROUTE_OF_FIELD[named[0]]


def _check(route: str, fields: Mapping[str, Any], abilities: Abilities) -> None:
    required = _FIELD_OF_ROUTE[route]
    if required not in fields:
        raise BadRequest(f"'{required}' is missing", field=required)
    content = fields[required]
    if route == CHAT:
        _check_messages(content, abilities)
    elif not isinstance(content, str) and not _is_filled_list(content):
        raise BadRequest(
            f"'{required}' must be a string or a list that is not empty, got {_kind(content)}", field=required
        )
    for name, (fits, expected) in FIELDS.items():
        value = fields.get(name)
        if value is not None and not fits(value):
            raise BadRequest(f"'{name}' must be {expected}, got {_kind(value)}", field=name)


def _check_messages(messages: object, abilities: Abilities) -> None:
    if not isinstance(messages, list) or not messages:
        raise BadRequest(
            f"'messages' must be a list of at least one message, got {_kind(messages)}", field="messages"
        )
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, dict):
            raise BadRequest(f"'{where}' must be an object, got {_kind(message)}", field=where)
        if not isinstance(message.get("role"), str):
            role = _kind(message.get("role"))
            raise BadRequest(f"'{where}.role' must be a string, got {role}", field=f"{where}.role")
        _check_content(message.get("content"), f"{where}.content", abilities)


def _check_content(content: object, where: str, abilities: Abilities) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"'{where}' must be a string or a list of parts, got {_kind(content)}", field=where)
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind not in abilities.content_types:
            expected = ", ".join(sorted(abilities.content_types))
            got = repr(kind) if isinstance(kind, str) else _kind(kind)
            raise BadRequest(
                f"'{where}[{number}].type' must be one of {expected}, got {got}",
                field=f"{where}[{number}].type",
            )
        if kind == "text" and not isinstance(part.get("text"), str):
            raise BadRequest(
                f"'{where}[{number}].text' must be a string, got {_kind(part.get('text'))}",
                field=f"{where}[{number}].text",
            )


def _kind(value: object) -> str:
    """What a JSON value is, in words that don't repeat a caller's text in an error message."""
    if value is None:
        return "null"
    if value == [] or value == {}:
        return "an empty list" if isinstance(value, list) else "an empty object"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return str(value)
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # 1e999 is infinite to Python


def _is_integer(value: object, *, least: int = -(2**63), most: int = 2**63 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_count(value: object) -> bool:
    """Engines keep the lower half of a larger number: 2**32 + 1 would be 1."""
    return _is_integer(value, least=-(2**31), most=2**31 - 1)


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_top_logprobs(value: object) -> bool:
    return _is_integer(value, least=0, most=MOST_TOP_LOGPROBS)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_grammar(value: object) -> bool:
    return isinstance(value, str) and value.count("(") <= MOST_PARENTHESES


def _is_schema(value: object) -> bool:
    return isinstance(value, dict) and _has_few_references(value)


def _has_few_references(value: object) -> bool:
    return json.dumps(value).count('"$ref"') <= MOST_REFERENCES


def _is_last_tokens(value: object) -> bool:
    return _is_integer(value, least=-1, most=MOST_LAST_TOKENS)


def _are_breakers(value: object) -> bool:
    return _is_list_of(str, value, most=MOST_BREAKERS)


def _is_filled_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_list_of(kind: type, value: object, *, most: float = math.inf) -> bool:
    return isinstance(value, list) and len(value) <= most and all(isinstance(item, kind) for item in value)


def _are_tools(value: object) -> bool:
    return _is_list_of(dict, value) and _has_few_references(value)


def _is_stop(value: object) -> bool:
    return isinstance(value, str) or _is_list_of(str, value)


FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "stream": (_is_boolean, "a boolean"),
    "stream_options": (_is_object, "an object"),
    "max_tokens": (_is_count, "an integer of 32 bits"),
    "max_completion_tokens": (_is_count, "an integer of 32 bits"),
    "max_output_tokens": (_is_count, "an integer of 32 bits"),
    "n": (_is_count, "an integer of 32 bits"),
    "seed": (_is_integer, "an integer of 64 bits"),
    "temperature": (_is_number, "a number"),
    "top_p": (_is_number, "a number"),
    "presence_penalty": (_is_number, "a number"),
    "frequency_penalty": (_is_number, "a number"),
    "stop": (_is_stop, "a string or a list of strings"),
    "logprobs": (
        lambda value: _is_boolean(value) or _is_top_logprobs(value),
        f"a boolean or an integer from 0 to {MOST_TOP_LOGPROBS}",
    ),
    "top_logprobs": (_is_top_logprobs, f"an integer from 0 to {MOST_TOP_LOGPROBS}"),
    "n_probs": (_is_top_logprobs, f"an integer from 0 to {MOST_TOP_LOGPROBS}"),
    "repeat_last_n": (_is_last_tokens, f"an integer from -1 to {MOST_LAST_TOKENS}"),
    "dry_penalty_last_n": (_is_last_tokens, f"an integer from -1 to {MOST_LAST_TOKENS}"),
    "dry_sequence_breakers": (_are_breakers, f"a list of at most {MOST_BREAKERS} strings"),
    "grammar_triggers": (lambda value: False, "left out: llama.cpp makes it itself"),
    "grammar": (_is_grammar, f"a string with at most {MOST_PARENTHESES} opening parentheses"),
    "json_schema": (_is_schema, f"an object with at most {MOST_REFERENCES} '$ref'"),
    "tools": (_are_tools, f"a list of objects with at most {MOST_REFERENCES} '$ref'"),
    "response_format": (_is_schema, f"an object with at most {MOST_REFERENCES} '$ref'"),
}
"""Fields of OpenAI's API, and of llama.cpp's those that could end it: how one is checked, and in words."""
