"""Which adapter a request gets, and what is told of the adapters there are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_serving.adapters import Adapters
from quant_llm_serving.routes import BadRequest

ADAPTERS = Adapters(names=("law", "tax"), base=("smol", "chat"))


def applied(body: str) -> Any:
    return json.loads(ADAPTERS.applied(body.encode(), json.loads(body)))


@pytest.mark.parametrize(
    ("model", "scales"),
    [
        ("", [0, 0]),
        (', "model": null', [0, 0]),
        (', "model": "smol"', [0, 0]),
        (', "model": "chat"', [0, 0]),
        (', "model": "law"', [1, 0]),
        (', "model": "smol", "model": "tax"', [0, 1]),
        (', "model": "tax", "lora": null', [0, 1]),
    ],
)
def test_every_request_says_the_scale_of_every_adapter(model: str, scales: list[int]) -> None:
    found = applied(f'{{"prompt": "x"{model}}} \n')
    assert found["lora"] == [{"id": number, "scale": scale} for number, scale in enumerate(scales)]


@given(st.dictionaries(st.text(max_size=5).filter(lambda name: name != "model"), st.integers(), min_size=1))
def test_the_rest_of_a_request_stays(fields: dict[str, int]) -> None:
    if fields.pop("lora", None) is None and fields:
        assert applied(json.dumps(fields)) == {
            **fields,
            "lora": [{"id": 0, "scale": 0}, {"id": 1, "scale": 0}],
        }


@pytest.mark.parametrize("fields", [{"prompt": "x"}, {"model": "law"}, {"model": "smol"}, {"model": "gpt"}])
def test_a_required_adapter_wins_over_the_model(fields: dict[str, Any]) -> None:
    found = json.loads(ADAPTERS.applied(json.dumps(fields).encode(), fields, "tax"))
    assert found["lora"] == [{"id": 0, "scale": 0}, {"id": 1, "scale": 1}]


@pytest.mark.parametrize("name", ["smol", "Tax", ""])
def test_a_required_adapter_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="expected one of law, tax") as refused:
        ADAPTERS.applied(b'{"model": "law"}', {"model": "law"}, name)
    assert (refused.value.status, refused.value.field) == (404, "adapter")


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"model": "Law"}, 404, "expected one of smol, chat, law, tax"),
        ({"model": ""}, 404, "expected one of smol, chat, law, tax"),
        ({"model": 7}, 400, "'model' must be a string"),
        ({"model": ["law"]}, 400, "'model' must be a string"),
        ({"lora": [{"id": 0, "scale": 1}]}, 400, "'lora' can't be given"),
    ],
)
def test_what_names_no_adapter_is_refused_with_those_there_are(
    fields: dict[str, Any], status: int, message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        ADAPTERS.applied(json.dumps({"prompt": "x", **fields}).encode(), {"prompt": "x", **fields})
    assert caught.value.status == status
    assert message in caught.value.message
    assert caught.value.field in fields


def test_adapters_are_listed_behind_the_model() -> None:
    engines = {"object": "list", "data": [{"id": "smol", "object": "model", "created": 7, "meta": {"n": 1}}]}
    answer = json.loads(ADAPTERS.listed(json.dumps(engines).encode()))
    assert answer["data"][0] == engines["data"][0]
    assert answer["data"][1:] == [
        {"id": name, "object": "model", "created": 7, "parent": "smol"} for name in ("law", "tax")
    ]
