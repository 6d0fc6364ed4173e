"""What a body asks for, and which fields are refused by name."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_exllama.backend import Sampling
from quant_llm_exllama.parameters import read_body, read_messages, read_parameters, read_prompts
from quant_llm_serving.routes import BadRequest


def test_nothing_asked_is_openais_default() -> None:
    parameters = read_parameters({}, chat=True)
    assert parameters.sampling == Sampling()
    assert (parameters.choices, parameters.max_tokens, parameters.top_logprobs) == (1, None, None)
    assert (parameters.stream, parameters.stops, parameters.ignore_eos) == (False, (), False)


def test_all_that_can_be_asked_for() -> None:
    fields = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "best_of": 2,
        "max_tokens": 5,
        "max_completion_tokens": 6,
        "stop": ["a", "b"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "frequency_penalty": 0.2,
        "presence_penalty": -0.3,
        "seed": 7,
        "ignore_eos": True,
        "user": "ignored",
        "a field that nobody knows": "ignored too",
    }
    parameters = read_parameters(fields, chat=False)
    assert parameters.sampling == Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        repetition_penalty=1.1,
        frequency_penalty=0.2,
        presence_penalty=-0.3,
        seed=7,
    )
    assert (parameters.stream, parameters.include_usage, parameters.choices) == (True, True, 2)
    assert (parameters.max_tokens, parameters.stops, parameters.ignore_eos) == (6, ("a", "b"), True)


@pytest.mark.parametrize(
    "fields", [{"temperature": 0}, {"top_p": 0}, {"min_p": 1}, {"temperature": 0, "top_p": 0.5}]
)
def test_what_leaves_one_token_is_greedy(fields: dict[str, Any]) -> None:
    sampling = read_parameters(fields, chat=True).sampling
    assert (sampling.temperature, sampling.top_p, sampling.min_p) == (0, 1, 0)


def test_llama_cpps_and_vllms_names() -> None:
    sampling = read_parameters({"repeat_penalty": 1.3, "top_k": -1}, chat=True).sampling
    assert (sampling.repetition_penalty, sampling.top_k) == (1.3, 0)


def test_log_probabilities_of_a_chat_and_of_a_completion() -> None:
    assert read_parameters({"logprobs": True, "top_logprobs": 3}, chat=True).top_logprobs == 3
    assert read_parameters({"logprobs": True}, chat=True).top_logprobs == 0
    assert read_parameters({"logprobs": 4}, chat=False).top_logprobs == 4
    assert read_parameters({"logprobs": 0}, chat=False).top_logprobs == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"top_k": 1.5}, "top_k"),
        ({"min_p": -1}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repeat_penalty": []}, "repeat_penalty"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"stop": 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"logprobs": 5}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"response_format": "json"}, "response_format"),
        ({"ignore_eos": "yes"}, "ignore_eos"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
    ],
)
def test_a_wrong_field_is_told_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_parameters(fields, chat=True)
    assert caught.value.field == field
    assert f"'{field}'" in caught.value.message


@pytest.mark.parametrize(
    "fields", [{"tools": []}, {"logit_bias": {}}, {"echo": False}, {"suffix": None}, {"n": None}]
)
def test_a_field_that_asks_for_nothing_is_no_error(fields: dict[str, Any]) -> None:
    assert read_parameters(fields, chat=True) == read_parameters({}, chat=True)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"5", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_body(body)


def test_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "user", "content": parts, "name": "n"}, {"role": "assistant", "content": None}]
    assert read_messages({"messages": messages}) == [
        {"role": "user", "content": "a\nb", "name": "n"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hello", "messages"),
        (["hello"], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages[0].content[0]"),
    ],
)
def test_a_wrong_message_is_told_by_its_place(messages: object, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_messages({"messages": messages})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("x", ["x"]),
        (["x", "y"], ["x", "y"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        ([[1], "x"], [[1], "x"]),
    ],
)
def test_the_forms_of_a_prompt(prompt: object, prompts: object) -> None:
    assert read_prompts({"prompt": prompt}, 10) == prompts


@pytest.mark.parametrize("prompt", [None, 5, [], [[]], [1, 10], [-1], [True], [1, "x"], [[1], [10]], [1.0]])
def test_a_wrong_prompt_is_refused(prompt: object) -> None:
    with pytest.raises(BadRequest) as caught:
        read_prompts({"prompt": prompt}, 10)
    assert caught.value.field == "prompt"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = [
    "messages",
    "prompt",
    "n",
    "best_of",
    "stop",
    "stream",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "seed",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "response_format",
    "repetition_penalty",
    "tools",
]


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON), st.booleans())
def test_no_body_is_worse_than_a_bad_request(fields: dict[str, Any], chat: bool) -> None:
    for read in (
        lambda body: read_parameters(body, chat=chat),
        read_messages,
        lambda body: read_prompts(body, 258),
    ):
        with contextlib.suppress(BadRequest):
            read(read_body(json.dumps(fields).encode()))
