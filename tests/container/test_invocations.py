"""What reaches the engine, and what follows from the container's options; `contract/` has the rest."""

from __future__ import annotations

import pytest

from tests.container.conftest import Run
from tests.container.process import ProcessContainer

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
AS_STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("body", "route", "changed"),
    [
        (CHAT, "/v1/chat/completions", AS_STREAM),
        ({"prompt": "hello", "stream": False}, "/v1/completions", AS_STREAM),
        ({"prompt": ["hello", "you"], "max_tokens": None}, "/v1/completions", AS_STREAM),
        ({"prompt": "hello", "logprobs": 2}, "/v1/completions", {}),
    ],
)
def test_the_engine_gets_the_body_and_is_asked_for_a_stream_where_that_says_all(
    shared: ProcessContainer, body: dict[str, object], route: str, changed: dict[str, object]
) -> None:
    status, answer = shared.invoke(body)
    assert (status, answer["route"]) == (200, route)
    assert answer["received"] == {**body, **changed}


def test_invocations_route_fixes_one(run: Run) -> None:
    container = run(INVOCATIONS_ROUTE="/v1/completions")
    assert container.invoke({"prompt": "x"})[1]["route"] == "/v1/completions"
    status, answer = container.invoke(CHAT)
    assert (status, answer["error"]["param"]) == (400, "prompt")
    _, answer = container.invoke(CHAT, {ATTRIBUTES: "route=/v1/chat/completions"})
    assert answer["route"] == "/v1/chat/completions"


def test_an_adapter_that_the_header_names_is_not_answered_by_the_model_alone(
    shared: ProcessContainer,
) -> None:
    assert shared.invoke({**CHAT, "model": "law"})[0] == 200
    status, answer = shared.invoke({**CHAT, "model": "law"}, {ATTRIBUTES: "adapter=law"})
    assert (status, answer["error"]["param"]) == (404, "adapter")
    assert "this endpoint has none" in answer["error"]["message"]


def test_an_embedding_model_only_embeds(run: Run) -> None:
    container = run(LLAMA_ARG_EMBEDDINGS="1")
    assert container.invoke({"input": "hello"})[1]["route"] == "/v1/embeddings"
    assert container.invoke(CHAT)[0] == 400


def test_openais_responses_are_served(shared: ProcessContainer) -> None:
    assert shared.request("POST", "/v1/responses", {"input": "x"})[1]["route"] == "/v1/responses"


def test_images_need_a_projector(shared: ProcessContainer) -> None:
    image = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
    status, answer = shared.invoke(image)
    assert (status, answer["error"]["param"]) == (400, "messages[0].content[0].type")
