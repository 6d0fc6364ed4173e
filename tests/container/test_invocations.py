"""Which of the engine's routes a request reaches, and how a wrong one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.container.conftest import Run
from tests.container.container import Container

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


@pytest.mark.parametrize(
    ("body", "route"),
    [
        (CHAT, "/v1/chat/completions"),
        ({"prompt": "hello"}, "/v1/completions"),
        ({"prompt": ["hello", "you"], "max_tokens": None}, "/v1/completions"),
    ],
)
def test_the_body_tells_the_route(shared: Container, body: object, route: str) -> None:
    status, answer = shared.invoke(body)
    assert (status, answer["route"]) == (200, route)
    assert answer["received"] == body


def test_invocations_route_fixes_one(run: Run) -> None:
    container = run(INVOCATIONS_ROUTE="/v1/completions")
    assert container.invoke({"prompt": "x"})[1]["route"] == "/v1/completions"
    status, answer = container.invoke(CHAT)
    assert (status, answer["error"]["param"]) == (400, "prompt")
    _, answer = container.invoke(CHAT, {ATTRIBUTES: "route=/v1/chat/completions"})
    assert answer["route"] == "/v1/chat/completions"


def test_an_embedding_model_only_embeds(run: Run) -> None:
    container = run(LLAMA_ARG_EMBEDDINGS="1")
    assert container.invoke({"input": "hello"})[1]["route"] == "/v1/embeddings"
    assert container.invoke(CHAT)[0] == 400


@pytest.mark.parametrize("attributes", ["route=/v1/completions", "trace=7; route=/v1/completions,a"])
def test_a_custom_attribute_chooses_the_route(shared: Container, attributes: str) -> None:
    body = {"prompt": "x", "messages": []}  # the body alone would be ambiguous
    status, answer = shared.invoke(body, {ATTRIBUTES: attributes})
    assert (status, answer["route"]) == (200, "/v1/completions")


@pytest.mark.parametrize("route", ["/slots", "/v1/nothing", "http://elsewhere/v1/completions", ""])
def test_a_custom_attribute_reaches_no_other_route(shared: Container, route: str) -> None:
    status, answer = shared.invoke({"stub": 1}, {ATTRIBUTES: f"route={route}"})
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("prefix", ["", "/openai"])
def test_openai_clients_find_their_routes(shared: Container, prefix: str) -> None:
    assert shared.request("POST", f"{prefix}/v1/chat/completions", CHAT)[1]["route"] == "/v1/chat/completions"
    assert shared.request("POST", f"{prefix}/v1/completions?x=1", {"prompt": "x"})[0] == 200
    assert shared.request("POST", f"{prefix}/v1/responses", {"input": "x"})[1]["route"] == "/v1/responses"
    assert shared.request("GET", f"{prefix}/v1/models")[1]["object"] == "list"


def test_metrics_are_the_engines(shared: Container) -> None:
    assert shared.request("GET", "/metrics") == (200, "stub_requests_running 0\n")


@pytest.mark.parametrize("path", ["/", "/slots", "/v1", "/v1/nothing", "/openai/v2/x", "/invocations/x"])
def test_a_path_that_is_not_served_is_404(shared: Container, path: str) -> None:
    status, answer = shared.request("POST", path, CHAT)
    assert (status, answer["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize(("method", "path"), [("GET", "/invocations"), ("POST", "/ping"), ("PUT", "/v1/x")])
def test_a_method_that_is_not_served_is_405(shared: Container, method: str, path: str) -> None:
    assert shared.request(method, path)[0] == 405


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        ([], None),
        ("text", None),
        ({}, "messages"),
        ({"prompt": "x", "input": "x"}, "prompt"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [CHAT["messages"][0], {"role": 5}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
        ),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": "x", "max_tokens": "5"}, "max_tokens"),
        ({"prompt": "x", "max_tokens": True}, "max_tokens"),
        ({"prompt": "x", "temperature": "hot"}, "temperature"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
        ({"prompt": "x", "stop": 5}, "stop"),
        ({**CHAT, "tools": 5}, "tools"),
    ],
)
def test_a_wrong_body_is_400_with_the_fields_name(shared: Container, body: Any, field: str | None) -> None:
    status, answer = shared.invoke(body)
    error = answer["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", field)


def test_sagemakers_inference_id_is_in_the_log(shared: Container) -> None:
    shared.invoke({"prompt": "x"}, {"X-Amzn-SageMaker-Inference-Id": "order-66"})
    shared.until_logged("order-66")
    entry = next(entry for entry in shared.entries if entry.get("request_id") == "order-66")
    assert (entry["route"], entry["status"], entry["outcome"]) == ("/v1/completions", 200, "finished")
