"""A wrong body is the caller's mistake, and the answer names the field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.container.contract.endpoint import CHAT, Endpoint

MESSAGE = CHAT["messages"][0]
DEFINITIONS = {str(number): {"items": {"$ref": f"#/$defs/{number + 1}"}} for number in range(20_000)}
CHAIN = {"$defs": {**DEFINITIONS, "20000": {"type": "string"}}, "$ref": "#/$defs/0"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b'{"prompt": "\xff"}', None),
        ('{"prompt": "x"}'.encode("utf-16"), None),
        (b'\xef\xbb\xbf{"prompt": "x"}', None),
        (b"[" * 100_000, None),
        (b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        ([], None),
        ("text", None),
        ({}, "messages"),
        ({"prompt": "x", "input": "x"}, "prompt"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [MESSAGE, {"role": 5}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": {}}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": "x", "max_tokens": "5"}, "max_tokens"),
        ({"prompt": "x", "max_tokens": True}, "max_tokens"),
        ({"prompt": "x", "max_tokens": 2**32 + 1}, "max_tokens"),
        ({"prompt": "x", "temperature": "hot"}, "temperature"),
        ({"prompt": "x", "stream": "yes"}, "stream"),
        ({"prompt": "x", "stop": 5}, "stop"),
        ({"prompt": "x", "logprobs": 21}, "logprobs"),
        ({"prompt": "x", "n_probs": 50_000}, "n_probs"),
        ({**CHAT, "logprobs": True, "top_logprobs": 50_000}, "top_logprobs"),
        ({**CHAT, "logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({**CHAT, "tools": 5}, "tools"),
        ({"prompt": "x", "repeat_last_n": 2**31 - 1}, "repeat_last_n"),
        ({"prompt": "x", "dry_penalty_last_n": 2**31 - 1}, "dry_penalty_last_n"),
        ({"prompt": "x", "dry_sequence_breakers": ["x"] * 101}, "dry_sequence_breakers"),
        ({"prompt": "x", "grammar_triggers": [{"type": 99, "value": "x"}]}, "grammar_triggers"),
        ({**CHAT, "grammar": "root ::= " + "(" * 50_000}, "grammar"),
        (
            {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"schema": CHAIN}}},
            "response_format",
        ),
        ({**CHAT, "json_schema": CHAIN}, "json_schema"),
        ({**CHAT, "tools": [{"function": {"name": "f", "parameters": CHAIN}}]}, "tools"),
    ],
)
def test_a_wrong_body_is_400_with_the_fields_name(endpoint: Endpoint, body: Any, field: str | None) -> None:
    status, answer = endpoint.invoke(body)
    error = answer["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", field)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -1e308},
        {"temperature": 1e308},
        {"top_p": -5},
        {"seed": 2**70},
        {"seed": -(2**63)},
        {"max_tokens": 2**70},
        {"n": 0},
        {"stop": [""] * 5000},
        {"stop": ["x" * 100_000]},
        {"logit_bias": "x"},
        {"grammar": "root ::= ("},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nothing"}}}},
        {"response_format": {"type": "nothing"}},
        {"user": "\x00", "metadata": {"a": [None]}},
    ],
    ids=str,
)
@pytest.mark.parametrize("what", [{"prompt": "x"}, {"messages": [MESSAGE]}], ids=["prompt", "messages"])
def test_a_value_out_of_range_is_no_fault_of_the_server(
    endpoint: Endpoint, what: dict[str, Any], fields: dict[str, Any]
) -> None:
    status, _ = endpoint.invoke({"max_tokens": 2, **what, **fields})
    assert status in (200, 400)
    assert endpoint.ping() == 200
