"""Which requests go by way of a proxy."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3

from quant_llm_repack.proxies import EnvironmentPool


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str, Any]]:
    """(proxy, URL, the proxy's headers) of each request."""
    asked: list[tuple[str | None, str, Any]] = []

    def urlopen(self: urllib3.PoolManager, method: str, url: str, redirect: bool = True, **_: Any) -> object:
        proxy = getattr(self, "proxy", None)
        asked.append((proxy and proxy.url, url, getattr(self, "proxy_headers", None)))
        return urllib3.HTTPResponse(b"")

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", urlopen)
    monkeypatch.setattr(urllib3.ProxyManager, "urlopen", urlopen)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return asked


def test_without_a_proxy_requests_go_straight(asked: list[tuple[str | None, str, Any]]) -> None:
    EnvironmentPool().request("GET", "https://hub.example/a")
    assert asked == [(None, "https://hub.example/a", None)]


def test_the_proxy_is_asked_except_for_the_hosts_that_need_none(
    asked: list[tuple[str | None, str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "mirror.example,.internal")
    pool = EnvironmentPool()
    for url in (
        "https://hub.example/",
        "https://mirror.example/",
        "https://a.internal/",
        "http://hub.example/",
    ):
        pool.request("GET", url)
    headers = {"proxy-authorization": "Basic dXNlcjpwQHNz"}
    assert asked == [
        ("http://proxy.example:3128", "https://hub.example/", headers),
        (None, "https://mirror.example/", None),
        (None, "https://a.internal/", None),
        (None, "http://hub.example/", None),
    ]
