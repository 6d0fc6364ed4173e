"""A pool of connections that goes through the proxies of the environment, as other clients do.

`HTTPS_PROXY`, `HTTP_PROXY` (an address, with a user and password where it needs them) and `NO_PROXY` (names
of hosts and domains, or `*`), in capitals or not.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3


class EnvironmentPool(urllib3.PoolManager):
    """A PoolManager that asks a proxy for what the environment sends there."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses = getproxies_environment()
        self._proxies: dict[str, urllib3.ProxyManager] = {}

    def urlopen(  # type: ignore[override]  # what is handed on is the base's own
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """As the base, by way of the proxy for the URL's scheme and host if there is one."""
        parts = urlsplit(url)
        address = self._addresses.get(parts.scheme)
        if not address or proxy_bypass(parts.netloc):
            return super().urlopen(method, url, redirect, **options)
        if address not in self._proxies:
            self._proxies[address] = _proxy(address)
        return self._proxies[address].urlopen(method, url, redirect, **options)

    def clear(self) -> None:
        """Close every connection."""
        super().clear()
        for proxy in self._proxies.values():
            proxy.clear()


def _proxy(address: str) -> urllib3.ProxyManager:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    user, _, host = parts.netloc.rpartition("@")
    headers = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
    return urllib3.ProxyManager(urlunsplit(parts._replace(netloc=host)), proxy_headers=headers)
