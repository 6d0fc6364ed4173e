"""JSON output by a grammar: OpenAI's `response_format` as llguidance's constraint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llguidance import LLMatcher

from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.routes import BadRequest

_FIELD = "response_format"
_SCHEMA_FIELD = "response_format.json_schema.schema"


def json_grammar(response_format: Mapping[str, Any], tokenizer: Tokenizer) -> LLMatcher | None:
    """The grammar of one answer, None for plain text. Raises BadRequest, also for a schema of no use."""
    schema = _schema(response_format)
    if schema is None:
        return None
    try:
        # No free white space: a model that has begun to indent may do nothing else.
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
        matcher = LLMatcher(tokenizer.for_grammars, grammar, log_level=0)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"'{_SCHEMA_FIELD}' is not usable: {error}", field=_SCHEMA_FIELD) from None
    if matcher.is_error():
        raise BadRequest(f"'{_SCHEMA_FIELD}' is not usable: {matcher.get_error()}", field=_SCHEMA_FIELD)
    return matcher


def _schema(response_format: Mapping[str, Any]) -> dict[str, Any] | None:
    match response_format.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            outer = response_format.get("json_schema")
            schema = outer.get("schema") if isinstance(outer, dict) else None
            if not isinstance(schema, dict):
                raise BadRequest(f"'{_SCHEMA_FIELD}' must be an object", field=_SCHEMA_FIELD)
            return schema
        case _:
            expected = "text, json_object or json_schema"
            raise BadRequest(f"'{_FIELD}.type' must be one of {expected}", field=f"{_FIELD}.type")
