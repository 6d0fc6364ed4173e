"""openapi.json says what the code does: neither more nor less is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from quant_llm_serving import routes
from quant_llm_serving.routes import Abilities, BadRequest, read_call
from quant_llm_serving.service import GETS, OPENAPI_FILE

DESCRIPTION: dict[str, Any] = json.loads(OPENAPI_FILE.read_bytes())
SCHEMAS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
ALL = Abilities(
    routes=frozenset({routes.CHAT, routes.COMPLETIONS, routes.EMBEDDINGS, routes.RESPONSES}),
    content_types=frozenset({"text", "image_url", "input_audio"}),
    slots=1,
)

# No floats without a fraction: JSON Schema takes 1.0 for an integer, engines don't.
SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.just(0.5) | st.text(max_size=3)
JSON = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=3), children, max_size=2)
    ),
    max_leaves=4,
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image_url", "video"]) | JSON},
        optional={"text": st.text(max_size=3) | JSON},
    )
    | JSON,
    max_size=2,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]) | JSON}, optional={"content": PARTS | JSON}
    )
    | JSON,
    max_size=2,
)
FIELDS = {
    "messages": MESSAGES | JSON,
    "prompt": JSON,
    "input": JSON,
    "unknown": JSON,
    **dict.fromkeys(SCHEMAS["Options"]["properties"], JSON),
    "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=2) | JSON,
}
BODIES = st.fixed_dictionaries({}, optional=FIELDS) | JSON


def is_accepted(path: str, body: object) -> bool:
    try:
        read_call(path, "", None, json.dumps(body).encode(), ALL)
    except BadRequest:
        return False
    return True


def is_valid(path: str, body: object) -> bool:
    operation = DESCRIPTION["paths"][path]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return bool(Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).is_valid(body))


def test_it_is_openapi() -> None:
    validate(DESCRIPTION)


def test_it_has_every_route_and_no_other() -> None:
    posts = {routes.INVOCATIONS_PATH, *ALL.routes}
    described = {
        (path, method)
        for path, item in DESCRIPTION["paths"].items()
        for method in item
        if method != "servers"
    }
    gets = {path for path in GETS if not path.startswith("/openai/")}
    assert described == {(path, "post") for path in posts} | {(path, "get") for path in gets}


def test_it_has_every_field_that_is_checked_and_no_other() -> None:
    assert set(SCHEMAS["Options"]["properties"]) == set(routes.FIELDS)


@pytest.mark.parametrize("name", sorted(routes.FIELDS))
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        0.5,
        20,
        21,
        2**63 - 1,
        2**63,
        -(2**63) - 1,
        "",
        "x",
        [],
        ["x"],
        ["x", 1],
        [{}],
        [{}, 1],
        {},
        {"a": 1},
    ],
    ids=repr,
)
def test_a_field_takes_what_the_description_says(name: str, value: object) -> None:
    body = {"prompt": "x", name: value}
    assert is_accepted(routes.COMPLETIONS, body) == is_valid(routes.COMPLETIONS, body)


@pytest.mark.parametrize("path", [routes.INVOCATIONS_PATH, *sorted(ALL.routes)])
@given(body=BODIES)
def test_a_body_is_accepted_if_and_only_if_it_is_valid(path: str, body: object) -> None:
    assert is_accepted(path, body) == is_valid(path, body)
