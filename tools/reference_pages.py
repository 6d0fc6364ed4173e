"""Writes the pages of docs/ that are generated from code: `python tools/reference_pages.py`.

`make format` runs it with container/sagemaker in PYTHONPATH; a test compares the pages with the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bill_of_materials
from quant_llm.agency import json_schema
from quant_llm.agency.config import RESERVED_ENVIRONMENT
from quant_llm_serving import environment, exllama_options
from quant_llm_watchdog.causes import CAUSES, SILENT

DOCUMENTS = Path(__file__).parents[1] / "docs"

_WRITTEN = "<!-- Written by `make format` out of the code; a test checks that it is current. -->\n"
_MANY = 12  # values of an enumeration that are told, rather than counted

Schema = Mapping[str, Any]


def agency_file() -> str:
    """Every field of an agency file."""
    schema = json_schema()
    lines = [
        _WRITTEN + "# The agency file",
        "",
        "```",
        "quantllm agencies check agencies/moh.yaml",
        "quantllm agencies schema > agencies.schema.json      # completion and checks in an editor",
        "```",
        "",
        "One file, one agency, one stack. A field that is not here is an error, with the nearest name.",
        "Examples: [agencies/](../agencies) and [tests/fixtures/agencies/](../tests/fixtures/agencies).",
    ]
    for path, described in _objects(schema, schema, ""):
        lines += ["", f"## `{path}`" if path else "## The whole file", ""]
        # The class's text, which says what the object is for.
        lines += [_prose(described["description"]), "", "| field | what | form |", "|---|---|---|"]
        for name, field in described["properties"].items():
            needed = " (needed)" if name in described.get("required", ()) else ""
            form = _form(field, schema)
            lines.append(f"| `{name}`{needed} | {_prose(field.get('description', ''))} | {form} |")
    return "\n".join(lines) + "\n"


def _objects(described: Schema, schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """The object and those in it, each with its path: `models[].scaling`."""
    yield path, described
    for name, field in described["properties"].items():
        inner, is_list = _inner(field, schema)
        if inner is not None:
            yield from _objects(inner, schema, f"{path}.{name}".lstrip(".") + ("[]" if is_list else ""))


def _inner(field: Schema, schema: Schema) -> tuple[Schema | None, bool]:
    """The object that a field holds, or holds a list of; None where it holds none."""
    is_list = field.get("type") == "array"
    reference = (field["items"] if is_list else field).get("$ref")
    return (schema["$defs"][reference.rpartition("/")[2]] if reference else None), is_list


def _form(field: Schema, schema: Schema) -> str:
    inner, is_list = _inner(field, schema)
    if inner is not None:
        return "list, see below" if is_list else "see below"
    if "enum" in field:
        values: list[str] = field["enum"]
        return (
            ", ".join(f"`{value}`" for value in values)
            if len(values) <= _MANY
            else f"one of {len(values)} names"
        )
    if is_list:
        return "list of texts"
    if field.get("type") == "object":
        return "map"
    bounds = {
        "at least {}": field.get("minimum"),
        "above {}": field.get("exclusiveMinimum"),
        "at most {}": field.get("maximum"),
    }
    told = [text.format(f"{bound:,}") for text, bound in bounds.items() if bound is not None]
    kind = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return ", ".join([kind.get(field.get("type", ""), "any"), *told])


def _prose(text: str) -> str:
    """Text on one line, as a cell of a table takes it."""
    return " ".join(text.split()).replace("|", "\\|")


def environment_variables() -> str:
    """Every variable of the containers that are built here."""
    lines = [
        _WRITTEN + "# Environment variables of the containers",
        "",
        "```yaml",
        "models:",
        "  - name: mistral-7b",
        '    environment: {SERVING_QUEUE_LENGTH: "20", LLAMA_ARG_CACHE_TYPE_K: q8_0}',
        "```",
        "",
        "Values are text, in quotes where YAML would read a number. They are read once, checked, and printed",
        "at start. A misspelt name is an error at start, with the nearest one. Never put a secret here:",
        "whoever may describe the model can read it.",
        "",
        "## Every engine",
        "",
        *_variables(environment.VARIABLES),
        "",
        "## llama.cpp",
        "",
        "llama-server's own variables, `LLAMA_ARG_*`, as in llama.cpp's manual of the server. The names:",
        "[llama_server_options.txt](../container/sagemaker/quant_llm_serving/llama_server_options.txt).",
        "",
        "A container that you start yourself can have a draft model: `LLAMA_ARG_SPEC_DRAFT_MODEL`, a file",
        "relative to the model directory, with `LLAMA_ARG_SPEC_TYPE=draft-simple`. `MODEL` must then name",
        "the other one. A model of an agency file has one GGUF, so it can't.",
        "",
        "## ExLlamaV2 and ExLlamaV3",
        "",
        *_variables(exllama_options.VARIABLES),
        "",
        "## What an agency file can't set",
        "",
        "The stack sets these itself, and refuses them under `environment`:",
        "",
        "| variable | why |",
        "|---|---|",
        *(f"| `{name}` | {_prose(why)} |" for name, why in RESERVED_ENVIRONMENT.items()),
        "",
        "Other engines: [engines.md](engines.md).",
    ]
    return "\n".join(lines) + "\n"


def _variables(described: Mapping[str, str]) -> list[str]:
    rows = [f"| `{name}` | {_prose(meaning)} |" for name, meaning in described.items()]
    return ["| variable | meaning |", "|---|---|", *rows]


def troubleshooting() -> str:
    """What a failure says, and what to do."""
    lines = [
        _WRITTEN + "# Troubleshooting",
        "",
        "```",
        "quantllm agencies check          # what is wrong with the files, by line",
        "quantllm preflight               # what in the account would make a deploy fail",
        "```",
        "",
        "Read the stack event first: a deploy that fails says why in one sentence there. The endpoint that",
        "served before goes on serving, and the next deploy starts where this one ended: parts that were",
        "copied are not copied again, an image that was built is not built again.",
        "",
        "## The deploy fails at",
        "",
        "| resource | it says | do |",
        "|---|---|---|",
        *(f"| {_prose(where)} | {_prose(says)} | {_prose(advice)} |" for where, says, advice in _FAILURES),
        "",
        "## The endpoint does not come up",
        "",
        "With `alarms` in the agency file a notice has the last lines of the container's log and the usual",
        "causes. This is the table that it looks into, by what SageMaker and the log say:",
        "",
        "| cause | what is behind it, and what to do |",
        "|---|---|",
        *(f"| {cause.name} | {_prose(cause.advice)} |" for cause in (*CAUSES, SILENT)),
        "",
        "## The container ended by itself",
        "",
        "| exit code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in _EXIT_CODES.items()),
        "",
        "Its log group is `/aws/sagemaker/Endpoints/<endpoint>`; the last line says what, where, what was",
        "given and what was expected.",
    ]
    return "\n".join(lines) + "\n"


_FAILURES = (
    (
        "`Custom::ModelArtifact`, wait condition",
        "a file is not what the lock names",
        "the hub or a mirror gave other bytes than the reviewer approved: nothing was published. Find out "
        "why before you lock again",
    ),
    (
        "the same",
        "the hub refuses, or the repository is gated",
        "accept the model's terms, put a token into AWS Secrets Manager, name it in `token_secret`",
    ),
    ("the same", "the hub failed again and again", "deploy again: what was copied stays"),
    (
        "`Custom::EngineImage`, wait condition",
        "the build's phase, CodeBuild's message, the last lines of its log",
        "a line about memory: take a larger `compute` ([images.md](images.md)). A download that failed: "
        "deploy again",
    ),
    (
        "`AWS::SageMaker::Endpoint`",
        "a quota, `ResourceLimitExceeded`",
        "ask for more in Service Quotas, or take a type that the account may run; write it into `quotas`",
    ),
    (
        "the same",
        "no capacity",
        "AWS has no such instance free: deploy later, or take another type or region",
    ),
    (
        "the same",
        "the container did not pass the ping health check",
        "the table below; the container's own sentence is in the stack event",
    ),
)

_EXIT_CODES = {
    0: "it was asked to end, and did",
    2: "a variable is wrong or misspelt",
    3: "no model, several, or one that can't be read",
    4: "the engine did not start, died, or stood still",
}


PAGES: Mapping[str, Callable[[], str]] = {
    "agency-file.md": agency_file,
    "dependencies.md": lambda: bill_of_materials.markdown(bill_of_materials.parts()) + "\n",
    "environment.md": environment_variables,
    "troubleshooting.md": troubleshooting,
}
"""The generated pages, by their name in docs/."""


if __name__ == "__main__":
    for page, written in PAGES.items():
        (DOCUMENTS / page).write_text(written(), encoding="utf-8")
        print(f"docs/{page}")
