"""A caller of the container, with nothing but the standard library: it runs wherever Python does."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

_SECONDS = 60.0  # a real engine on a slow machine

LONG: Mapping[str, Any] = {"prompt": "1, 2, 3,", "max_tokens": 900, "ignore_eos": True}
"""A request that keeps an engine busy for a while."""

SHORT: Mapping[str, Any] = {"prompt": "1, 2, 3,", "max_tokens": 2}
CHAT: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 2}


class Refused(Exception):
    """Status and body of an answer that is no stream."""


class CutOff(Exception):
    """The last event of a stream that has no end."""


class Endpoint:
    """A container known by its address alone, whatever engine is in it."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        parts = urllib.parse.urlsplit(self.base_url)
        assert parts.hostname, f"no address in {base_url!r}"
        self.host = parts.hostname
        self.port = parts.port or 80
        self._posted: list[http.client.HTTPConnection] = []

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=_SECONDS)

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of an answer; a `body` that is not bytes is sent as JSON."""
        with closing(self.connection()) as connection:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, body=data, headers=dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def invoke(self, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        return self.request("POST", "/invocations", body, headers)

    def stream(self, body: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
        """When each event of a stream arrived, and its data; closing the iterator closes the connection.

        Raises Refused if there is no stream, and CutOff if it ends without `[DONE]`.
        """
        with closing(self.connection()) as connection:
            connection.request("POST", "/invocations", body=json.dumps({**body, "stream": True}))
            answer = connection.getresponse()
            if answer.status != 200:
                raise Refused(answer.status, answer.read())
            assert answer.getheader("Content-Type", "").startswith("text/event-stream")
            data = ""
            for line in answer:
                if line.startswith(b"data: "):
                    data = line.decode().removeprefix("data: ").strip()
                    yield time.monotonic(), data
            if data != "[DONE]":
                raise CutOff(data)

    def post(self, body: Mapping[str, Any]) -> http.client.HTTPConnection:
        """A connection on which `body` was sent to /invocations, and no answer was read."""
        connection = self.connection()
        self._posted.append(connection)
        connection.request("POST", "/invocations", body=json.dumps(body))
        return connection

    def close(self) -> None:
        """Close the connections that `post` made."""
        for connection in self._posted:
            connection.close()
        self._posted.clear()

    def ping(self) -> int | None:
        """The status of /ping, None if nothing listens yet."""
        try:
            return self.request("GET", "/ping")[0]
        except OSError:
            return None

    def metric(self, name: str) -> float:
        """A metric of the container's own; its labels, if any, are part of the name."""
        status, text = self.request("GET", "/metrics")
        assert status == 200, text
        found = re.search(rf"^{re.escape(name)} (\S+)$", str(text), re.MULTILINE)
        assert found, f"no {name} in:\n{text}"
        return float(found[1])

    def running(self) -> int:
        """How many requests are with the engine."""
        return int(self.metric("quantllm_requests_running"))

    def slots(self) -> int:
        """How many can be."""
        return int(self.metric("quantllm_slots"))

    def until_healthy(self, seconds: float = 60) -> None:
        wait_until(lambda: self.ping() == 200, seconds=seconds)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> float:
    """Wait for `condition`; returns how long it took, fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not so within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started
