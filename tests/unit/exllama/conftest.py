"""A model's tokenizer and template, and a reply that keeps what is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_exllama.chat_template import ChatTemplate
from quant_llm_exllama.preparation import Preparation
from quant_llm_exllama.tokenizer import Tokenizer
from tests.integration.exllama.model_files import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "bytes")


@pytest.fixture(scope="session")
def tokenizer(model: Path) -> Tokenizer:
    return Tokenizer(model)


@pytest.fixture(scope="session")
def preparation(model: Path, tokenizer: Tokenizer) -> Preparation:
    return Preparation("bytes", tokenizer, ChatTemplate(model, tokenizer))
