"""Which of the engine's routes a request reaches, told by its answer's `object`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.container.contract.endpoint import CHAT, SHORT, Endpoint

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
COMPLETION, CHAT_COMPLETION = "text_completion", "chat.completion"


@pytest.mark.parametrize(("body", "kind"), [(CHAT, CHAT_COMPLETION), (SHORT, COMPLETION)])
def test_the_body_tells_the_route(endpoint: Endpoint, body: Mapping[str, Any], kind: str) -> None:
    status, answer = endpoint.invoke(body)
    assert (status, answer["object"]) == (200, kind)
    assert answer["usage"]["completion_tokens"] <= 2
    assert answer["choices"][0]["finish_reason"] in ("length", "stop")


@pytest.mark.parametrize("attributes", ["route=/v1/completions", "trace=7; route=/v1/completions,a"])
def test_a_custom_attribute_chooses_the_route(endpoint: Endpoint, attributes: str) -> None:
    body = {**SHORT, "messages": []}  # the body alone would be ambiguous
    status, answer = endpoint.invoke(body, {ATTRIBUTES: attributes})
    assert (status, answer["object"]) == (200, COMPLETION)


@pytest.mark.parametrize("route", ["/slots", "/v1/nothing", "http://elsewhere/v1/completions", ""])
def test_a_custom_attribute_reaches_no_other_route(endpoint: Endpoint, route: str) -> None:
    status, answer = endpoint.invoke({"other": 1}, {ATTRIBUTES: f"route={route}"})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("prefix", ["", "/openai"])
def test_openai_clients_find_their_routes(endpoint: Endpoint, prefix: str) -> None:
    assert endpoint.request("POST", f"{prefix}/v1/chat/completions", CHAT)[1]["object"] == CHAT_COMPLETION
    assert endpoint.request("POST", f"{prefix}/v1/completions?x=1", SHORT)[1]["object"] == COMPLETION
    assert endpoint.request("GET", f"{prefix}/v1/models")[1]["object"] == "list"


@pytest.mark.parametrize("path", ["/", "/slots", "/v1", "/v1/nothing", "/openai/v2/x", "/invocations/x"])
def test_a_path_that_is_not_served_is_404(endpoint: Endpoint, path: str) -> None:
    status, answer = endpoint.request("POST", path, CHAT)
    assert (status, answer["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/invocations"), ("POST", "/ping"), ("PUT", "/v1/x"), ("DELETE", "/openapi.json")],
)
def test_a_method_that_is_not_served_is_405(endpoint: Endpoint, method: str, path: str) -> None:
    assert endpoint.request(method, path)[0] == 405
