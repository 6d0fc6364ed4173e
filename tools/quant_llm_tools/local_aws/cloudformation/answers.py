"""The pre-signed URLs that custom resources and wait conditions answer to."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

from quant_llm_tools.local_aws.cloud import Cloud

_PREFIX = "/_cloudformation/answers/"


class Answers:
    """Hands out URLs, and holds what was PUT to each until somebody asks for it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._boxes: dict[str, queue.SimpleQueue[bytes]] = {}
        self._lock = threading.Lock()

    def new_url(self) -> str:
        """A URL that takes any number of PUT requests."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._boxes[token] = queue.SimpleQueue()
        return f"{self._cloud.endpoint_url}{_PREFIX}{token}"

    def next(self, url: str, seconds: float) -> bytes | None:
        """The next body that was PUT to a URL, or None if there is none in that time."""
        box = self._boxes.get(_token(url))
        try:
            return None if box is None else box.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self, url: str) -> None:
        """The URL is not valid any more: whoever answers now is told so."""
        with self._lock:
            self._boxes.pop(_token(url), None)

    def middleware(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Take the answers out of the requests to an application."""

        def answering(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if not path.startswith(_PREFIX):
                return app(environ, start_response)
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            with self._lock:
                box = self._boxes.get(_token(path))
            if environ["REQUEST_METHOD"] != "PUT" or box is None:
                start_response("403 Forbidden", [("Content-Length", "0")])
                return [b""]
            box.put(body)
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]

        return answering


def _token(url: str) -> str:
    return url.rsplit("/", 1)[-1].split("?")[0]
