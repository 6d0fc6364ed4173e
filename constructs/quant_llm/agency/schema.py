"""The JSON Schema of agency files, for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from quant_llm.agency.config import AgencyConfig


class _AsWritten(GenerateJsonSchema):
    """Fields that can be left out can't be null: a key with no value is a line half written, and refused."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return _without_null(super().default_schema(schema))


def _without_null(described: JsonSchemaValue) -> JsonSchemaValue:
    """Leaves out defaults that are null, those inside a default too."""
    default = described.pop("default", None)
    if isinstance(default, dict):
        default = {key: value for key, value in default.items() if value is not None}
    return described if default is None else {**described, "default": default}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) with a description of every field."""
    return {
        "$schema": _AsWritten.schema_dialect,
        **AgencyConfig.model_json_schema(schema_generator=_AsWritten),
    }
