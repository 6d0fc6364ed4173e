"""The HTTP client under huggingface_hub: timeouts, retries, and a token that stays with the hub.

huggingface_hub's own calls differ: model_info neither retries nor times out, list_repo_tree retries but never
times out. With this client under all of them there is one policy.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal, TypeVar

import httpx2
from huggingface_hub.utils._http import hf_raise_for_status, parse_ratelimit_headers

from quant_llm.errors import QuantLlmError

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
TIMEOUT = httpx2.Timeout(30.0, connect=10.0)

_PASSING_FAULTS = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
)
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})

_Answer = TypeVar("_Answer")


class HubFault(QuantLlmError):
    """The hub did not answer, or not as a hub must, however often it was asked."""


class _AskAgain(Exception):
    """An answer that says to come back, after `wait` seconds where it tells when."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"it answered {response.status_code}")
        self.wait = _stated_wait(response)


class HubClient(httpx2.Client):
    """Asks up to five times, with full jitter between or as long as the hub says.

    `notice` is told of every wait longer than a second. Raises HubFault in the end.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        notice: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(follow_redirects=True, transport=transport)
        self._origin = httpx2.URL(endpoint).origin
        self._notice = notice
        self._sleep = sleep

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send one request and its repetitions; error answers that won't pass are returned as they are."""
        return self._persist(lambda: self._send_once(request, **options))

    def read_range(self, url: str, start: int, end: int, size: int, token: str | Literal[False]) -> bytes:
        """Bytes `start` to `end` (not included) of a file of `size` bytes.

        Never takes more than that from the wire, whatever the server sends. HfHubHTTPError on an error
        answer.
        """
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"

        def once() -> bytes:
            with closing(
                self._send_once(self.build_request("GET", url, headers=headers), stream=True)
            ) as response:
                hf_raise_for_status(response)
                _check_range(response, start, end, size)
                content = bytearray()
                for chunk in response.iter_raw():
                    content += chunk
                    if len(content) > end - start:
                        break
            if len(content) != end - start:
                raise httpx2.RemoteProtocolError(
                    f"{end - start:,} bytes were asked for, {len(content):,} came"
                )
            return bytes(content)

        return self._persist(once)

    def _send_once(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        request.extensions = {**request.extensions, "timeout": TIMEOUT.as_dict()}
        if request.url.origin != self._origin:  # the next page of a listing is where the server says it is
            request.headers.pop("Authorization", None)
        response = super().send(request, **options)
        if response.status_code in _PASSING_STATUS:
            response.close()
            raise _AskAgain(response)
        return response

    def _persist(self, call: Callable[[], _Answer]) -> _Answer:
        attempt = 1
        while True:
            try:
                return call()
            except (_AskAgain, *_PASSING_FAULTS) as fault:
                self._wait(fault, attempt)
            attempt += 1

    def _wait(self, fault: Exception, attempt: int) -> None:
        """Sleep before the next attempt; HubFault when there is none."""
        reason = str(fault) or type(fault).__name__
        if attempt == ATTEMPTS:
            raise HubFault(f"{reason}, {ATTEMPTS} times") from None
        stated = fault.wait if isinstance(fault, _AskAgain) else None
        if stated is not None and stated > LONGEST_WAIT_SECONDS:
            raise HubFault(f"{reason} and wants to be asked again in {stated:.0f} s") from None
        longest = FIRST_WAIT_SECONDS * 2 ** (attempt - 1)
        wait = secrets.SystemRandom().uniform(0, longest) if stated is None else stated
        if wait > 1:
            self._notice(f"the hub is troubled ({reason}), asking again in {wait:.0f} s")
        self._sleep(wait)


def _stated_wait(response: httpx2.Response) -> float | None:
    """Seconds that a 429 or 503 asks for, in the hub's RateLimit header or in Retry-After."""
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    stated = response.headers.get("Retry-After", "")
    return float(stated) if stated.isascii() and stated.isdigit() else None


def _check_range(response: httpx2.Response, start: int, end: int, size: int) -> None:
    """Find a server that ignores ranges, or has another file than it listed, before its bytes are read."""
    if response.status_code == 200 and (start, end) == (0, size):
        return
    stated = response.headers.get("Content-Range", "nothing")
    if response.status_code != 206 or stated != f"bytes {start}-{end - 1}/{size}":
        raise HubFault(
            f"it answered {response.status_code} with {stated!r} to bytes {start}-{end - 1} of {size}; "
            "a mirror must serve ranges, and the files as it lists them"
        )
