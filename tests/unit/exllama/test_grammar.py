"""`response_format` as a grammar, and schemas that can't be kept."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_exllama.grammar import json_grammar
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.routes import BadRequest

OBJECT = {"type": "object"}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def accepts(tokenizer: Tokenizer, response_format: dict[str, Any], text: str) -> bool:
    """Whether the grammar lets `text` through as a whole answer."""
    matcher = json_grammar(response_format, tokenizer)
    assert matcher is not None
    ids = tokenizer.encode(text, add_special_tokens=False)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def schema(value: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": value}}


def test_text_has_no_grammar(tokenizer: Tokenizer) -> None:
    assert json_grammar({"type": "text"}, tokenizer) is None


@pytest.mark.parametrize(
    ("text", "fits"), [("{}", True), ('{"a":[1,null]}', True), ("[]", False), ("{", False)]
)
def test_any_object(tokenizer: Tokenizer, text: str, fits: bool) -> None:
    assert accepts(tokenizer, {"type": "json_object"}, text) == fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"name":"é","age":5}', True),
        ('{"name":"x"}', False),
        ('{"name":"x","age":"5"}', False),
        ('{"name":"x","age":5,"more":1}', False),
    ],
)
def test_a_schema(tokenizer: Tokenizer, text: str, fits: bool) -> None:
    assert accepts(tokenizer, schema(PERSON), text) == fits


def test_a_whole_answer_leaves_only_its_end(tokenizer: Tokenizer) -> None:
    matcher = json_grammar(schema(PERSON), tokenizer)
    assert matcher is not None
    matcher.consume_tokens(tokenizer.encode('{"name":"x","age":5}', add_special_tokens=False))
    mask = matcher.compute_bitmask()
    assert {
        token for token in range(tokenizer.size) if mask[token >> 3] >> (token & 7) & 1
    } == tokenizer.stop_tokens


@pytest.mark.parametrize(
    ("response_format", "field"),
    [
        ({}, "response_format.type"),
        ({"type": "xml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema"),
        (schema([]), "response_format.json_schema.schema"),
        (schema({"type": "nonsense"}), "response_format.json_schema.schema"),
        (schema({"$ref": "#/nowhere"}), "response_format.json_schema.schema"),
        (schema({"type": "string", "pattern": "("}), "response_format.json_schema.schema"),
        (schema({"type": "string", "maxLength": -1}), "response_format.json_schema.schema"),
        (schema({"minimum": 5, "maximum": 1, "type": "integer"}), "response_format.json_schema.schema"),
    ],
)
def test_a_schema_that_can_not_be_kept_is_refused(
    tokenizer: Tokenizer, response_format: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        json_grammar(response_format, tokenizer)
    assert caught.value.field == field
