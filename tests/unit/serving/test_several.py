"""Several answers in one stream; tests/container/test_llamacpp.py has the real engine's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm_serving.routes import CHAT, COMPLETIONS, RESPONSES, Call
from quant_llm_serving.several import SeveralAnswers, has_several_answers

MESSAGES = [{"role": "user", "content": "x"}]
COMMON = {"created": 1, "id": "chatcmpl-1", "model": "m", "object": "chat.completion.chunk"}
DONE = b"data: [DONE]\n\n"


def event(**fields: object) -> bytes:
    return f"data: {json.dumps({**COMMON, **fields})}\n\n".encode()


def usage(prompt: int, completion: int) -> dict[str, Any]:
    total = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**total, "prompt_tokens_details": {"cached_tokens": 1}}


def choice(index: int, text: str = "", finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": finish_reason}


def chat(**fields: object) -> Call:
    return Call(CHAT, {"messages": MESSAGES, "stream": True, **fields})


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_usage_of_all_answers_comes_once_and_at_the_end(size: int) -> None:
    said = event(choices=[choice(0, '{"usage": "?"}')])
    stream = b"".join(
        [
            said,
            event(choices=[choice(1, "b")]),
            event(choices=[choice(0, finish_reason="stop")]),
            event(choices=[], usage=usage(5, 2), timings={"predicted_n": 2}),
            event(choices=[choice(1, finish_reason="length")]),
            event(choices=[], usage=usage(5, 3), timings={"predicted_n": 3}),
            DONE,
        ]
    )
    told = SeveralAnswers(chat(n=2, stream_options={"include_usage": True}))
    pieces = [told.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    total = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    passed = [
        said,
        event(choices=[choice(1, "b")]),
        event(choices=[choice(0, finish_reason="stop")]),
        event(choices=[choice(1, finish_reason="length")]),
    ]
    assert b"".join(pieces) == b"".join([*passed, event(choices=[], usage=total), DONE])
    untold = SeveralAnswers(chat(n=2))
    assert untold.feed(stream) == b"".join([*passed, DONE])
    assert untold.usage == total


def test_prompts_of_their_own_add_up_and_nothing_is_null() -> None:
    answers = SeveralAnswers(Call(COMPLETIONS, {"prompt": ["a", "b"], "n": 2, "stream": True}))
    ends = [event(choices=[choice(index, "", "stop")], usage=usage(3 + index // 2, 1)) for index in range(4)]
    got = answers.feed(b"data: null\n\n" + b": ping\n\n" + b"".join(ends) + DONE)
    passed = b"".join(event(choices=[choice(index, "", "stop")]) for index in range(4))
    assert got == b": ping\n\n" + passed + DONE
    assert answers.usage == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}


@pytest.mark.parametrize(
    ("route", "fields", "several"),
    [
        (CHAT, {"messages": MESSAGES}, False),
        (CHAT, {"messages": MESSAGES, "n": 2}, True),
        (CHAT, {"messages": MESSAGES, "n": 2, "n_cmpl": 1}, False),
        (CHAT, {"messages": MESSAGES, "n": None, "n_cmpl": 2}, True),
        (CHAT, {"messages": MESSAGES, "prompt": ["a", "b"]}, False),
        (COMPLETIONS, {"prompt": "a"}, False),
        (COMPLETIONS, {"prompt": ["a"]}, False),
        (COMPLETIONS, {"prompt": [1, 2]}, False),
        (COMPLETIONS, {"prompt": ["a", 2]}, False),
        (COMPLETIONS, {"prompt": ["a", [1, 2]]}, True),
        (RESPONSES, {"input": "a", "n": 2}, False),
    ],
)
def test_what_asks_for_several_answers(route: str, fields: dict[str, Any], several: bool) -> None:
    assert has_several_answers(Call(route, fields)) is several


def test_an_event_without_a_usage_of_its_own_passes_as_it_is() -> None:
    said = event(choices=[choice(0, "a")], usage=None)
    assert SeveralAnswers(chat(n=2)).feed(said) == said
