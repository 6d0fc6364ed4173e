"""The hub's client over real connections: redirects, stalls, cuts, expiry."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import urllib3

from quant_llm_repack.errors import HubError
from quant_llm_repack.hub import HubRepository
from tests.integration.repack.loopback_hub import LoopbackHub, serving
from tests.unit.repack.sources import artifact_request, some_bytes

CONTENTS = {"weights/模型.gguf": some_bytes(5_000_000), "config.json": b"{}"}
REQUEST = artifact_request(CONTENTS)
CONFIG, WEIGHTS = REQUEST.files
PREFIX = f"/{REQUEST.repository}/resolve/{REQUEST.commit}/"


@pytest.fixture
def served() -> Iterator[LoopbackHub]:
    with serving(CONTENTS, PREFIX) as hub:
        yield hub


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager() as pool:
        yield pool


def client(served: LoopbackHub, pool: urllib3.PoolManager) -> HubRepository:
    return HubRepository(
        REQUEST,
        endpoint=served.url,
        token="hf_secret",
        stall_seconds=0.3,
        http=pool,
        sleep=lambda seconds: None,
    )


def test_ranges_come_over_one_connection_and_the_token_stays_at_the_hub(
    served: LoopbackHub, pool: urllib3.PoolManager
) -> None:
    hub = client(served, pool)
    hub.check(REQUEST.files)
    content = b"".join(
        chunk
        for start in range(0, WEIGHTS.size, 1_000_000)
        for chunk in hub.read(WEIGHTS, start, start + 1_000_000)
    )
    assert content == CONTENTS[WEIGHTS.path]
    assert served.authorizations == {"hub": {"Bearer hf_secret"}, "cdn": {None}}
    assert pool.connection_from_url(served.cdn_url).num_connections == 1
    assert pool.connection_from_url(served.cdn_url).num_requests == 5
    assert served.signatures == 2


def test_a_relative_redirect_of_the_hub_is_followed(served: LoopbackHub, pool: urllib3.PoolManager) -> None:
    served.prefix = "/acme/renamed/resolve/main/"
    assert b"".join(client(served, pool).read(CONFIG, 0, CONFIG.size)) == b"{}"


def test_a_body_that_stalls_is_given_up_and_goes_on_in_time(
    served: LoopbackHub, pool: urllib3.PoolManager
) -> None:
    served.stalls = [0, 1_000_000]
    began = time.monotonic()
    assert b"".join(client(served, pool).read(WEIGHTS, 0, WEIGHTS.size)) == CONTENTS[WEIGHTS.path]
    assert 0.6 <= time.monotonic() - began < 5
    starts = [int(span.partition("-")[0]) for span in served.ranges]
    assert starts[:2] == [0, 0]
    # What had come before the stall, up to the read under way, is not asked for again.
    assert 500_000 < starts[2] <= 1_000_000


def test_a_body_that_is_cut_goes_on(served: LoopbackHub, pool: urllib3.PoolManager) -> None:
    served.cuts = [0, 700_000, 2_000_000]
    assert b"".join(client(served, pool).read(WEIGHTS, 0, WEIGHTS.size)) == CONTENTS[WEIGHTS.path]
    assert len(served.ranges) == 4


def test_a_signature_that_expires_is_renewed(served: LoopbackHub, pool: urllib3.PoolManager) -> None:
    hub = client(served, pool)
    for used in (1, 2, 3):
        assert b"".join(hub.read(WEIGHTS, 0, 10)) == CONTENTS[WEIGHTS.path][:10]
        assert served.signatures == used
        served.expired_signatures.add(used)


def test_a_hub_that_is_not_there_is_one_sentence(pool: urllib3.PoolManager) -> None:
    with serving(CONTENTS, PREFIX) as gone:
        pass
    with pytest.raises(
        HubError, match="failed 6 times in a row, the last with: no answer: NewConnectionError"
    ):
        client(gone, pool).check([CONFIG])


def test_a_missing_file_is_one_sentence(served: LoopbackHub, pool: urllib3.PoolManager) -> None:
    served.contents = {}
    with pytest.raises(
        HubError, match=r"config.json of acme/model-GGUF .*: there is no such file at this commit"
    ):
        client(served, pool).check([CONFIG])
