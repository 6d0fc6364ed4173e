"""A whole answer out of a stream; tests/container/test_llamacpp.py compares it with the real engine's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm_serving.assembly import as_stream, assemble, can_be_assembled
from quant_llm_serving.routes import CHAT, COMPLETIONS, EMBEDDINGS, Call

MESSAGES = [{"role": "user", "content": "x"}]
COMMON = {"created": 1, "id": "chatcmpl-1", "model": "m", "system_fingerprint": "b1"}


def stream(*events: object, done: bool = True) -> bytes:
    data = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*data, "data: [DONE]\n\n" if done else ""]).encode()


def chat_event(delta: dict[str, Any], finish_reason: str | None = None, **fields: object) -> dict[str, Any]:
    choice = {"finish_reason": finish_reason, "index": 0, "delta": delta}
    return {"choices": [choice], **COMMON, "object": "chat.completion.chunk", **fields}


def test_a_chat_is_put_together() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    events = [
        chat_event({"role": "assistant", "content": None}, prompt_progress={"total": 3}),
        chat_event({"reasoning_content": "hm"}),
        chat_event({"content": "Pa"}),
        chat_event({"content": "ris ü"}),
        chat_event({}, "stop"),
        {**chat_event({}), "choices": [], "usage": usage, "timings": {"predicted_n": 2}},
    ]
    status, body = assemble(b":\n\n" + stream(*events))
    message = {"role": "assistant", "content": "Paris ü", "reasoning_content": "hm"}
    assert (status, json.loads(body)) == (
        200,
        {
            **COMMON,
            "object": "chat.completion",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": usage,
            "timings": {"predicted_n": 2},
        },
    )


def test_a_completion_is_put_together() -> None:
    def event(text: str, finish_reason: str | None) -> dict[str, Any]:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
        return {"choices": [choice], **COMMON, "object": "text_completion"}

    _, body = assemble(stream(event(" Pa", None), event("ris", None), event("", "length")))
    choice = {"text": " Paris", "index": 0, "logprobs": None, "finish_reason": "length"}
    assert json.loads(body) == {**COMMON, "object": "text_completion", "choices": [choice]}


def test_an_error_in_the_middle_is_the_answer() -> None:
    error = {"code": 503, "message": "no memory", "type": "unavailable_error"}
    assert assemble(stream(chat_event({"content": "x"}), {"error": error})) == (
        503,
        json.dumps({"error": error}).encode(),
    )
    assert assemble(stream({"error": "no memory"}))[0] == 500


@pytest.mark.parametrize("events", [[], [chat_event({"content": "x"})]])
def test_a_part_is_not_taken_for_the_whole(events: list[object]) -> None:
    with pytest.raises(ValueError, match="ended early"):
        assemble(stream(*events, done=not events))


@pytest.mark.parametrize(
    ("route", "fields", "can"),
    [
        (CHAT, {"messages": MESSAGES}, True),
        (CHAT, {"messages": MESSAGES, "stream": False, "n": 1, "logprobs": False, "tools": []}, True),
        (CHAT, {"messages": MESSAGES, "stream": True}, False),
        (CHAT, {"messages": MESSAGES, "n": 2}, True),
        (CHAT, {"messages": MESSAGES, "logprobs": True}, False),
        (CHAT, {"messages": MESSAGES, "tools": [{}]}, False),
        (CHAT, {"messages": [*MESSAGES, {"role": "assistant", "content": "So"}]}, False),
        (COMPLETIONS, {"prompt": "x"}, True),
        (COMPLETIONS, {"prompt": ["x", "y"]}, True),
        (COMPLETIONS, {"prompt": "x", "verbose": True}, False),
        (EMBEDDINGS, {"input": "x"}, False),
    ],
)
def test_only_what_a_stream_says_in_full_is_assembled(route: str, fields: dict[str, Any], can: bool) -> None:
    assert can_be_assembled(Call(route, fields)) is can


def test_the_request_for_a_stream_is_the_same_but_for_that() -> None:
    body = b' {"prompt": "}", "stream": false, "stream_options": {"a": 1}} \r\n'
    changed = {"stream": True, "stream_options": {"include_usage": True}}
    assert json.loads(as_stream(body)) == {**json.loads(body), **changed}
