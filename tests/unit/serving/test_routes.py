"""Routing and checking of bodies, beyond what tests/container/test_invocations.py sends over the wire."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_serving.routes import Abilities, BadRequest, error_body, read_call

GENERATES = Abilities(
    routes=frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"}),
    content_types=frozenset({"text"}),
    slots=4,
)
SEES = replace(GENERATES, content_types=frozenset({"text", "image_url"}))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=10,
)
FIELDS = ["messages", "prompt", "input", "stream", "max_tokens", "stop", "tools", "temperature", "other"]


def route(body: object, *, path: str = "/invocations", attributes: str = "", fixed: str | None = None) -> str:
    return read_call(path, attributes, fixed, json.dumps(body).encode(), GENERATES).route


def test_attribute_before_fixed_route_before_body() -> None:
    everything = {"messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"}
    chat, completions = "/v1/chat/completions", "/v1/completions"
    assert route({"prompt": "x"}) == completions
    assert route(everything, fixed=chat) == chat
    assert route(everything, fixed=chat, attributes=f"route={completions}") == completions


def test_attributes_and_fixed_route_are_for_invocations_only() -> None:
    body = {"prompt": "x"}
    assert route(body, path="/v1/completions", attributes="route=/v1/responses", fixed="/v1/responses") == (
        "/v1/completions"
    )


@pytest.mark.parametrize("attributes", ["", "route=", "routes=/v1/responses", "x=route=/v1/responses", ";,="])
def test_other_attributes_are_let_be(attributes: str) -> None:
    assert route({"prompt": "x"}, attributes=attributes) == "/v1/completions"


def test_what_the_engine_can_not_do_is_the_callers_mistake() -> None:
    with pytest.raises(BadRequest, match=r"^this endpoint does not serve /v1/embeddings, expected one of "):
        route({"input": "x"})
    image = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    with pytest.raises(BadRequest, match=r"must be one of text, got 'image_url'$"):
        route(image)
    call = read_call("/invocations", "", None, json.dumps(image).encode(), SEES)
    assert call.route == "/v1/chat/completions"


def test_an_assistants_message_may_be_without_content() -> None:
    message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    assert route({"messages": [message, {"role": "tool"}]}) == "/v1/chat/completions"


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.sampled_from(["", *sorted(GENERATES.routes)]))
def test_any_object_is_either_routed_or_refused_with_a_status_below_500(body: Any, wanted: str) -> None:
    refusal = None
    try:
        assert route(body, attributes=f"route={wanted}") in GENERATES.routes
    except BadRequest as error:
        refusal = error
    if refusal is not None:
        assert refusal.status == 400
        told = json.loads(error_body(refusal.message, kind="invalid_request_error", field=refusal.field))
        assert set(told["error"]) == {"message", "type", "param", "code"}


@given(st.binary())
def test_bytes_that_say_nothing_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_call("/v1/completions", "", None, body, GENERATES)
