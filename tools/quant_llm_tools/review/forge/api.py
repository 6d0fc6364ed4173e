"""A forge's REST API over the standard library: pages, rate limits, redirects that keep the token here."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quant_llm.errors import QuantLlmError

PATIENCE_SECONDS: Final = 600
"""The longest wait for a rate limit; who must wait longer is told."""

_TRIES: Final = 5
_TIMEOUT_SECONDS: Final = 30
_MOST_PAGES: Final = 200
_MOST_ANSWER: Final = 20_000_000
_NEXT: Final = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the token along to wherever a redirect leads."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    """The status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Api:
    """One forge. `headers` go to `base` and nowhere else, and hold the token."""

    base: str
    headers: Mapping[str, str] = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def get(self, path: str) -> Any:
        """One JSON answer."""
        return json.loads(self._ask("GET", self._url(path)).body)

    def pages(self, path: str) -> Iterator[Any]:
        """The items of a list over all of its pages."""
        url: str | None = self._url(path)
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            answer = self._ask("GET", url)
            found = json.loads(answer.body)
            # GitHub wraps some lists in an object with a count.
            yield from (
                found
                if isinstance(found, list)
                else next(value for value in found.values() if isinstance(value, list))
            )
            url = self._next(answer)
        raise QuantLlmError(f"{path}: more than {_MOST_PAGES} pages")

    def send(self, method: str, path: str, content: Any) -> Any:
        """Send JSON and return what is answered."""
        return json.loads(self._ask(method, self._url(path), json.dumps(content).encode()).body)

    def download(self, path: str, most: int) -> bytes:
        """A file of at most `most` bytes; the place that a redirect leads to does not get the token."""
        url, headers = self._url(path), dict(self.headers)
        for _ in range(4):
            answer = self._ask("GET", url, headers=headers, most=most)
            if answer.status < 300:
                return answer.body
            url = urllib.parse.urljoin(url, answer.headers.get("location", ""))
            if _origin(url) != _origin(self.base):
                headers = {}
            if urllib.parse.urlsplit(url).scheme != urllib.parse.urlsplit(self.base).scheme:
                raise QuantLlmError(f"{path}: a redirect to another scheme")
        raise QuantLlmError(f"{path}: too many redirects")

    def _url(self, path: str) -> str:
        return self.base.rstrip("/") + path

    def _next(self, answer: Answer) -> str | None:
        found = _NEXT.search(answer.headers.get("link", ""))
        if found is None:
            return None
        if _origin(found[1]) != _origin(self.base):
            raise QuantLlmError("the forge names another host as its next page")
        return found[1]

    def _ask(
        self,
        method: str,
        url: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = _MOST_ANSWER,
    ) -> Answer:
        """The answer, asked again after rate limits, and, where asking twice does no harm, after faults."""
        what = f"{method} {urllib.parse.urlsplit(url).path}"
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._once(method, url, content, self.headers if headers is None else headers, most)
            except (OSError, http.client.HTTPException) as error:
                if method == "POST" or attempt == _TRIES:
                    raise QuantLlmError(f"{what}: {type(error).__name__}") from None
                self.sleep(2**attempt)
                continue
            if len(answer.body) > most:
                raise QuantLlmError(f"{what}: an answer of more than {most:,} bytes")
            if answer.status < 400:
                return answer
            wait = self._wait(answer, attempt)
            faulty = answer.status >= 500 and method != "POST"
            if attempt == _TRIES or not (faulty or wait is not None):
                raise QuantLlmError(f"{what}: status {answer.status}{_message(answer)}")
            if wait is not None and wait > PATIENCE_SECONDS:
                raise QuantLlmError(f"{what}: the rate limit is used up for another {wait:,.0f} s")
            self.sleep(2**attempt if wait is None else wait)
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], most: int
    ) -> Answer:
        sent = {**headers, "User-Agent": "quantllm-review"}
        if content is not None:
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(url, content, sent, method=method)  # noqa: S310  # base is checked
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return Answer(response.status, _lower(response.headers), response.read(most + 1))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read(most + 1))

    def _wait(self, answer: Answer, attempt: int) -> float | None:
        """Seconds to wait for a rate limit; None when this answer is none."""
        if answer.status not in (403, 429):
            return None
        headers = answer.headers
        if headers.get("retry-after", "").isdecimal():
            return max(1.0, float(headers["retry-after"]))
        reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
        left = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining"))
        if left == "0" and reset.isdecimal():
            return max(1.0, float(reset) - self.now())
        return 60.0 * attempt if answer.status == 429 else None


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _message(answer: Answer) -> str:
    """What the forge says is wrong, in short."""
    try:
        message = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {str(message)[:200]}"
