"""The prices of these tests are the bundled ones, whatever `quantllm prices refresh` has written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm import catalogue
from quant_llm.catalogue import load_price_list
from quant_llm.catalogue import prices as bundled


@pytest.fixture(autouse=True)
def price_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that the product reads: one of the test's own, not there yet."""
    path = tmp_path / "price_list.json"
    for module in (catalogue, bundled):
        monkeypatch.setattr(module, "PRICE_LIST", path)
    load_price_list.cache_clear()
    yield path
    load_price_list.cache_clear()
