"""The wire: connections that stay open, faults, the log, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import urllib3
from urllib3.exceptions import ProtocolError

from quant_llm_tools.local_aws.hub import HubServer, Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.content import BytesContent

BYTES = bytes(range(256)) * 4096
FILE = RepositoryFile("a.gguf", BytesContent(BYTES))
REPOSITORY = Repository("owner/name", "0123456789" * 4, (FILE,))
RESOLVE = "/owner/name/resolve/main/a.gguf"


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer([REPOSITORY]) as server:
        yield server


def cdn_url(http: urllib3.PoolManager, hub: HubServer) -> str:
    return http.request("HEAD", hub.url + RESOLVE, redirect=False).headers["Location"]


def test_one_connection_serves_many_requests(hub: HubServer) -> None:
    address = urlsplit(hub.url)
    assert address.hostname is not None
    with urllib3.HTTPConnectionPool(address.hostname, address.port, maxsize=1) as pool:
        for method in ("HEAD", "GET", "GET", "POST"):
            pool.request(method, "/api/models/owner/name", redirect=False)
        assert pool.num_connections == 1


def test_head_and_get_have_the_same_headers(hub: HubServer, http: urllib3.PoolManager) -> None:
    url = cdn_url(http, hub)
    head, whole = http.request("HEAD", url), http.request("GET", url)
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(BYTES))
    assert (head.data, whole.data) == (b"", BYTES)


def test_the_hub_and_its_cdn_have_different_hosts(hub: HubServer, http: urllib3.PoolManager) -> None:
    assert urlsplit(cdn_url(http, hub)).hostname != urlsplit(hub.url).hostname


def test_failures_end_after_so_many_times(hub: HubServer, http: urllib3.PoolManager) -> None:
    hub.faults.fail("*/resolve/*", status=503, times=3, retry_after=9)
    answers = [http.request("GET", hub.url + RESOLVE, redirect=False) for _ in range(4)]
    assert [answer.status for answer in answers] == [503, 503, 503, 302]
    assert answers[0].headers["Retry-After"] == "9"


def test_a_rate_limit_says_when_to_come_back(hub: HubServer, http: urllib3.PoolManager) -> None:
    hub.faults.fail("*/resolve/*", status=429, retry_after=4)
    answer = http.request("GET", hub.url + RESOLVE, redirect=False)
    assert answer.headers["RateLimit"] == '"resolvers";r=0;t=4'
    assert answer.headers["Retry-After"] == "4"


def test_a_truncated_body_is_short_of_its_length(hub: HubServer, http: urllib3.PoolManager) -> None:
    hub.faults.truncate("/cdn/*", after=1000)
    url = cdn_url(http, hub)
    with pytest.raises(ProtocolError, match=r"IncompleteRead\(1000 bytes read"):
        http.request("GET", url)
    assert http.request("GET", url).data == BYTES


def test_a_wrong_byte_is_at_its_offset_whatever_the_range(hub: HubServer, http: urllib3.PoolManager) -> None:
    hub.faults.wrong_byte("/cdn/*", offset=300_000)
    url = cdn_url(http, hub)
    wrong = BYTES[:300_000] + bytes([BYTES[300_000] ^ 0xFF]) + BYTES[300_001:]
    assert http.request("GET", url).data == wrong
    assert http.request("GET", url, headers={"Range": "bytes=300000-300000"}).data == wrong[300_000:300_001]
    assert http.request("GET", url, headers={"Range": "bytes=0-9"}).data == BYTES[:10]


def test_a_stalled_body_hangs_and_then_goes_on(hub: HubServer, http: urllib3.PoolManager) -> None:
    hub.faults.stall("/cdn/*", seconds=0.3, after=1000)
    url = cdn_url(http, hub)
    started = time.monotonic()
    assert http.request("GET", url).data == BYTES
    assert time.monotonic() - started >= 0.3


def test_the_log_has_ranges_and_bytes_but_no_secrets(hub: HubServer, http: urllib3.PoolManager) -> None:
    url = cdn_url(http, hub)
    http.request("GET", url, headers={"Range": "bytes=10-19"})
    http.request("GET", url, headers={"Authorization": "Bearer hf_secret"})
    _, partial, refused = hub.requests
    assert (partial.method, partial.range, partial.status, partial.bytes) == ("GET", "bytes=10-19", 206, 10)
    assert partial.path == f"/cdn/owner/name/{REPOSITORY.commit}/a.gguf"
    assert (refused.status, refused.authorized) == (400, True)
    assert "hf_secret" not in repr(hub.requests)
    assert "Signature" not in repr(hub.requests)


def test_faults_and_log_are_reached_over_http(hub: HubServer, http: urllib3.PoolManager) -> None:
    fault = {"fault": "fail", "path": "*/resolve/*", "status": 500, "times": 9}
    assert http.request("POST", f"{hub.url}/_faults", json=fault).status == 200
    assert http.request("HEAD", hub.url + RESOLVE, redirect=False).status == 500
    assert http.request("DELETE", f"{hub.url}/_faults").status == 200
    assert http.request("HEAD", hub.url + RESOLVE, redirect=False).status == 302
    log = json.loads(http.request("GET", f"{hub.url}/_requests").data)
    assert [(record["path"], record["status"]) for record in log] == [(RESOLVE, 500), (RESOLVE, 302)]
    assert http.request("DELETE", f"{hub.url}/_requests").status == 200
    assert json.loads(http.request("GET", f"{hub.url}/_requests").data) == []


def test_a_fault_that_is_not_understood_is_refused(hub: HubServer, http: urllib3.PoolManager) -> None:
    for body in (b'{"fault": "explode"}', b"no json", b"5"):
        answer = http.request("POST", f"{hub.url}/_faults", body=body)
        assert answer.status == 400
        assert "error" in answer.json()


def test_an_expired_url_is_refused(http: urllib3.PoolManager) -> None:
    with HubServer([REPOSITORY], url_lifetime_seconds=-1) as hub:
        assert http.request("GET", cdn_url(http, hub)).status == 403


def test_a_port_may_be_chosen(hub: HubServer) -> None:
    with pytest.raises(OSError, match="in use"):
        HubServer([REPOSITORY], port=urlsplit(hub.url).port or 0)


def test_closing_ends_idle_and_stalled_connections_at_once(http: urllib3.PoolManager) -> None:
    before = threading.active_count()
    with HubServer([REPOSITORY]) as hub:
        http.request("GET", f"{hub.url}/api/models/owner/name")
        hub.faults.stall("/cdn/*", seconds=60, after=1000)
        stalled = http.request("GET", cdn_url(http, hub), preload_content=False)
        assert len(stalled.read(1000)) == 1000
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert threading.active_count() == before
    with pytest.raises(ProtocolError):
        stalled.read()
    stalled.close()
