"""One stand-in for the tests of this folder; each test starts with no faults and an empty log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quant_llm_tools.local_aws.hub import HubServer


@pytest.fixture(scope="session")
def shared_hub() -> Iterator[HubServer]:
    with HubServer(page_size=2) as server:
        yield server


@pytest.fixture
def hub(shared_hub: HubServer) -> Iterator[HubServer]:
    yield shared_hub
    shared_hub.faults.clear()
    shared_hub.forget_requests()
