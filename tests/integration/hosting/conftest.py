"""Each test has an embedded AWS of its own, unless its module says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hosting.embedded import EmbeddedAws, running


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmbeddedAws]:
    with running(tmp_path) as embedded:
        yield embedded
