"""A whole answer put together from an engine's stream.

llama.cpp looks whether the caller of a whole answer is still there only in a second in which it gave nobody
else a token, so under load it generates to the end for nobody. The caller of a stream it misses with the next
token. Hence it is asked for a stream, and what its caller gets is what it would have answered itself: the
texts of a stream's deltas are the pieces of the whole answer's, and its last event has the other fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from quant_llm_serving.routes import CHAT, COMPLETIONS, Call

_AS_STREAM = b', "stream": true, "stream_options": {"include_usage": true}}'
_DATA = b"data: "
_DONE = b"[DONE]"
# With these a stream doesn't say all, or is not known to.
_WHOLE_ONLY = ("logprobs", "top_logprobs", "n_probs", "verbose", "tools")


def can_be_assembled(call: Call) -> bool:
    """Whether the stream says all that the whole answer does."""
    fields = call.fields
    if call.streamed:
        return False
    if any(fields.get(name) not in (None, 0, False, []) for name in _WHOLE_ONLY):
        return False
    if call.route == CHAT:
        # A whole answer that goes on where the last message stopped repeats that message.
        return bool(fields["messages"][-1]["role"] != "assistant")
    return call.route == COMPLETIONS


def as_stream(body: bytes) -> bytes:
    """The same request for a stream. `body` is an object with a field; of two equal names the last counts."""
    return body.rstrip()[:-1] + _AS_STREAM


def assemble(stream: bytes) -> tuple[int, bytes]:
    """Status and body of the whole answer. Raises ValueError if the stream is not whole."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    done = False
    for data in _events(stream):
        done = data == _DONE
        if done:
            break
        event = json.loads(data)
        if "error" in event:
            return _status(event["error"]), json.dumps({"error": event["error"]}).encode()
        for choice in event.pop("choices"):
            _add(choices.setdefault(choice["index"], {}), choice)
        answer = event
    if not done or not choices:
        raise ValueError("the engine's stream ended early")
    answer["object"] = answer["object"].removesuffix(".chunk")
    answer["choices"] = [choices[index] for index in sorted(choices)]
    return HTTPStatus.OK, json.dumps(answer).encode()


def _events(stream: bytes) -> Iterator[bytes]:
    for line in stream.splitlines():
        if line.startswith(_DATA):
            yield line.removeprefix(_DATA)


def _status(error: object) -> int:
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else HTTPStatus.INTERNAL_SERVER_ERROR


def _add(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece of a choice to what there is of it."""
    for name, value in piece.items():
        if name == "text":
            whole["text"] = whole.get("text", "") + value
        elif name == "delta":
            _add_delta(whole.setdefault("message", {"role": "assistant", "content": ""}), value)
        elif value is not None or name not in whole:
            whole[name] = value


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "role":
            message["role"] = value
        elif value is not None:  # content, reasoning_content
            message[name] = message.get(name, "") + value
