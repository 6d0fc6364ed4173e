"""Chat templates as transformers renders them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_llm_exllama.chat_template import ChatTemplate
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.errors import ModelError
from quant_llm_serving.routes import BadRequest
from tests.integration.exllama.model_files import write_model

HELLO = [{"role": "user", "content": "<b>é"}]


def render(directory: Path, source: str, messages: list[dict[str, str]] = HELLO) -> str:
    path = write_model(directory / "m", template=source)
    return ChatTemplate(path, Tokenizer(path)).render(messages)


def test_a_conversation_in_chat_ml(model: Path, tokenizer: Tokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    assert ChatTemplate(model, tokenizer).render(messages) == (
        "<|begin|><|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<b>é<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ messages | tojson }}", '[{"role": "user", "content": "<b>é"}]'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=1) }}", '{\n "b": 1,\n "a": 2\n}'),
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
        ("{% for n in [1, 2, 3] %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}", "1"),
        ("{% generation %}{{ eos_token }}{% endgeneration %}", "<|im_end|>"),
        ("{{ strftime_now('%Y') | length }}", "4"),
        ("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}", "TrueTrueTrue"),
        ("{{ pad_token is defined }}", "False"),
    ],
)
def test_what_templates_use(tmp_path: Path, source: str, text: str) -> None:
    assert render(tmp_path, source) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[5].content.strip() }}",
        "{{ messages + 1 }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_what_the_template_refuses_is_a_bad_request(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadRequest) as caught:
        render(tmp_path, source)
    assert caught.value.field == "messages"


def test_the_message_of_the_template_is_told(model: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(BadRequest, match="no such role: pirate"):
        ChatTemplate(model, tokenizer).render([{"role": "pirate", "content": ""}])


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("one", "one"),
        ([{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}], "plain"),
    ],
)
def test_a_template_in_the_tokenizers_configuration(tmp_path: Path, template: object, text: str) -> None:
    path = write_model(tmp_path / "m", template=None)
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    assert ChatTemplate(path, Tokenizer(path)).render(HELLO) == text


def test_a_file_of_its_own_wins(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", template="file")
    (path / "tokenizer_config.json").write_text('{"chat_template": "configuration"}', encoding="utf-8")
    assert ChatTemplate(path, Tokenizer(path)).render(HELLO) == "file"


def test_a_model_without_a_template_has_no_chat(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", template=None)
    with pytest.raises(BadRequest, match="no chat template, expected /v1/completions"):
        ChatTemplate(path, Tokenizer(path)).render(HELLO)


def test_a_template_that_is_not_jinja_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not Jinja"):
        render(tmp_path, "{% if %}")
