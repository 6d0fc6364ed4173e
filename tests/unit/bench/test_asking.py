"""What is asked, and what is read out of a stream."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.bench.asking import Answer, AnswerReader, Form, kind_of_status

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
FORM = Form("completions", 128, 1, fixed_length=True)


def event(text: str | None = None, **fields: Any) -> bytes:
    choices = [] if text is None else [{"text": text, "index": 0}]
    return f"data: {json.dumps({'choices': choices, **fields})}\n\n".encode()


STREAM = event("a") + event("") + event("b") + event("ç") + event(usage=USAGE) + b"data: [DONE]\n\n"


def read(*pieces: bytes) -> Answer:
    """The answer, of pieces that come at 1, 2, 3 … seconds."""
    reader = AnswerReader(0.5)
    for moment, piece in enumerate(pieces, start=1):
        reader.feed(piece, float(moment))
    return reader.answer(99.0)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_reads_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    answer = read(*(STREAM[start:end] for start, end in itertools.pairwise(ends)))
    assert (answer.text, answer.prompt_tokens, answer.output_tokens) == ("abç", 7, 3)
    assert len(answer.arrivals) == 3
    assert (answer.sent, answer.ended, answer.error) == (0.5, 99.0, None)


def test_a_piece_arrives_when_its_last_byte_does_and_an_empty_one_never() -> None:
    head, tail = event("b")[:9], event("b")[9:]
    assert read(event("a"), event(""), head, tail).arrivals == (1.0, 4.0)


def test_chats_are_read_like_completions() -> None:
    chunk = {"choices": [{"delta": {"content": "a"}}]}
    assert read(f"data: {json.dumps(chunk)}\r\n\r\n".encode()).text == "a"


@pytest.mark.parametrize(
    ("stream", "kind", "detail"),
    [
        (b'data: {"error": {"message": "out of\\n memory"}}\n\n', "stream", "memory"),
        (b"data: {oops\n\n", "stream", "no JSON"),
        (b"data: [1]\n\n", "stream", "no object"),
        (b"data: [DONE]\n\n", "empty", "no text"),
        (b"", "empty", "no text"),
    ],
)
def test_a_stream_that_is_none_is_an_error(stream: bytes, kind: str, detail: str) -> None:
    answer = read(stream)
    assert answer.error == kind
    assert answer.detail is not None
    assert detail in answer.detail
    assert "\n" not in answer.detail


def test_usage_that_is_no_number_is_unknown() -> None:
    assert read(event("a", usage={"completion_tokens": "three"})).output_tokens is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "throttled"),
        (400, "refused"),
        (408, "timeout"),
        (500, "server"),
        (503, "server"),
        (504, "timeout"),
    ],
)
def test_statuses_have_their_kinds(status: int, kind: str) -> None:
    assert kind_of_status(status) == kind


def test_a_request_is_greedy_of_fixed_length_and_asks_for_the_usage() -> None:
    fields = json.loads(FORM.body("hello"))
    assert fields["prompt"] == "hello"
    assert (fields["temperature"], fields["seed"], fields["max_tokens"]) == (0, 1, 128)
    assert fields["ignore_eos"] is True
    assert fields["min_tokens"] == 128
    assert fields["stream_options"] == {"include_usage": True}
    assert "model" not in fields


def test_a_chat_has_messages_and_the_models_name_where_one_is_known() -> None:
    fields = json.loads(Form("chat", 8, 1, fixed_length=False, model="m").body("hello"))
    assert fields["messages"] == [{"role": "user", "content": "hello"}]
    assert fields["model"] == "m"
    assert "prompt" not in fields
    assert "ignore_eos" not in fields


def test_lines_of_json_are_read_like_events() -> None:
    lines = [{"choices": [{"text": text}]} for text in ("a", "b")]
    answer = read(*(f"{json.dumps(line)}\n".encode() for line in [*lines, {"choices": [], "usage": USAGE}]))
    assert (answer.text, answer.arrivals, answer.output_tokens) == ("ab", (1.0, 2.0), 3)
