"""The golden cases, reviewed once for all tests."""

from __future__ import annotations

import pytest

from quant_llm_tools.review.model import Change
from tests.review.golden import reviewed


@pytest.fixture(scope="session")
def changes_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Change, ...]]:
    return reviewed(tmp_path_factory.mktemp("golden"))
