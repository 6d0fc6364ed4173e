"""The JSON Schema for editors: valid itself, and of one mind with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from quant_llm.agency import json_schema


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def test_it_names_its_draft_and_is_valid_in_it(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", ["default", "health", "justice"])
def test_it_accepts_the_examples(schema: dict[str, Any], examples: Path, name: str) -> None:
    Draft202012Validator(schema).validate(read(examples / f"{name}.yaml"))


def test_it_accepts_the_good_file(schema: dict[str, Any], good: Path) -> None:
    Draft202012Validator(schema).validate(read(good))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("engine: llama.cpp", "engine: lama.cpp", ["models", 0, "engine"]),
        ("engine: llama.cpp", "engin: llama.cpp", ["models", 0]),
        ("region: us-east-1", "region: us-esat-1", ["environment", "region"]),
        ('"123456789012"\n', "123456789012\n", ["environment", "account"]),
        (
            "hub: owner/some-GGUF",
            "hub: https://huggingface.co/owner/some-GGUF",
            ["models", 0, "source", "hub"],
        ),
        ("context_length: 2048", "context_length: 8", ["models", 0, "context_length"]),
        ("instance_type: ml.g4dn.xlarge", "instance_type: g4dn.xlarge", ["models", 0, "instance_type"]),
        ("token_secret: hf-token", "token_secret:", ["models", 0, "source", "token_secret"]),
        ("[sg-0a1b2c3d]", "[]", ["network", "security_group_ids"]),
    ],
)
def test_it_refuses_at_the_place_that_is_wrong(
    schema: dict[str, Any], change: Callable[[str, str], Path], old: str, new: str, place: list[str | int]
) -> None:
    errors = Draft202012Validator(schema).iter_errors(read(change(old, new)))
    assert {tuple(error.absolute_path) for error in errors} == {tuple(place)}


def test_every_field_has_a_description(schema: dict[str, Any]) -> None:
    def fields(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for owner in (schema, *schema["$defs"].values()):
            yield from owner["properties"].items()

    bare = [name for name, field in fields(schema) if not field.get("description")]
    assert bare == []


def test_no_field_can_be_null(schema: dict[str, Any]) -> None:
    assert "null" not in str(schema)
    assert "None" not in str(schema)
