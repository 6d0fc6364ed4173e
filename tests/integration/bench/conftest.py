"""One fake engine a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.bench.fake_engine import FakeEngine, fake_engine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as server:
        yield server
