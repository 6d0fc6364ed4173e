"""The model's chat template, rendered as `transformers` does it (its `utils/chat_template_utils.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.errors import ModelError
from quant_llm_serving.routes import BadRequest

_FILE = "chat_template.jinja"


class ChatTemplate:
    """Messages to one prompt. A model without a template has no chat."""

    def __init__(self, directory: Path, tokenizer: Tokenizer) -> None:
        """Compile the template of `directory`. Raises ModelError if it is none of Jinja's."""
        source = _source(directory, tokenizer.config)
        self._special = tokenizer.special
        try:
            self._template = None if source is None else _environment().from_string(source)
        except TemplateError as error:
            raise ModelError(f"the chat template in {directory} is not Jinja: {error}") from error

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt that asks for an answer. Raises BadRequest if the template refuses them."""
        if self._template is None:
            raise BadRequest("the model has no chat template, expected /v1/completions", field="messages")
        try:
            return self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=True, **self._special
            )
        except (TemplateError, TypeError, ValueError, KeyError, RecursionError, OverflowError) as error:
            raise BadRequest(
                f"the model's chat template refuses the messages: {error}", field="messages"
            ) from None


class _Generation(Extension):
    """`{% generation %}` marks what an assistant says, for training; here it is only its content."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's own, with no escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> NoReturn:
    raise TemplateRuntimeError(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _source(directory: Path, config: Mapping[str, Any]) -> str | None:
    """A file of its own wins over the tokenizer's configuration, which may have several by name."""
    path = directory / _FILE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
