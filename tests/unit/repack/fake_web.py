"""The hub, its CDN and CloudFormation's answer address, as a urllib3 pool without sockets."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import urllib3

from quant_llm_repack.request import ArtifactRequest

HUB = "https://hub.example"
CDN = "https://cdn.example"
ANSWER = "https://answer.example/once?signature=secret"


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    url: str
    headers: dict[str, str]

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True)
class Canned:
    """An answer in place of the true one; an exception is raised in place of any."""

    status: int = 200
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    error: Exception | None = None


class BrokenBody(io.BytesIO):
    """A body that raises what a socket would after its last byte."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise self._error
        return data

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(size)


class FakeWeb(urllib3.PoolManager):
    """Serves `contents` as the hub does: files over 1,000 bytes from the CDN, others from the hub itself.

    `canned` holds answers for requests to come, by (method, host); `broken` cuts CDN bodies to a length,
    after which the given error (None: the end) comes.
    """

    def __init__(self, contents: Mapping[str, bytes], request: ArtifactRequest) -> None:
        super().__init__()
        self.contents = dict(contents)
        self.prefix = f"/{request.repository}/resolve/{request.commit}/"
        self.asked: list[Asked] = []
        self.answers: list[dict[str, Any]] = []
        self.canned: dict[tuple[str, str], list[Canned]] = {}
        self.broken: list[tuple[int, Exception | None]] = []
        self.signatures = 0
        # By path, in place of the true one.
        self.sha256: dict[str, str] = {}

    def can(self, method: str, base: str, *answers: Canned) -> None:
        self.canned.setdefault((method, urlsplit(base).netloc), []).extend(answers)

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        fields: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        asked = Asked(method, url, dict(headers or {}))
        self.asked.append(asked)
        if canned := self.canned.get((method, asked.host)):
            answer = canned.pop(0)
            if answer.error:
                raise answer.error
            return _response(answer.status, answer.headers or {}, io.BytesIO(answer.body))
        if method == "PUT" and url == ANSWER:
            return self._take_answer(body)
        path = unquote(urlsplit(url).path).removeprefix(self.prefix)
        if path not in self.contents:
            return _response(404, {"X-Error-Code": "EntryNotFound"})
        return self._head(asked, path) if method == "HEAD" else self._get(asked, path)

    def _take_answer(self, body: bytes) -> urllib3.BaseHTTPResponse:
        self.answers.append(json.loads(body))
        return _response(200, {})

    def _head(self, asked: Asked, path: str) -> urllib3.BaseHTTPResponse:
        content = self.contents[path]
        if len(content) <= 1000:
            return _response(200, {"Content-Length": str(len(content)), "ETag": '"a-sha1"'})
        self.signatures += 1
        return _response(
            302,
            {
                "Location": f"{CDN}{self.prefix}{quote(path)}?signature={self.signatures}",
                "X-Linked-Size": str(len(content)),
                "X-Linked-Etag": f'"{self.sha256.get(path) or hashlib.sha256(content).hexdigest()}"',
            },
        )

    def _get(self, asked: Asked, path: str) -> urllib3.BaseHTTPResponse:
        content = self.contents[path]
        first, last = asked.headers["Range"].removeprefix("bytes=").split("-")
        start, stop = int(first), int(last) + 1
        data = content[start:stop]
        headers = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{len(content)}"}
        if self.broken and asked.host == urlsplit(CDN).netloc:
            length, error = self.broken.pop(0)
            data = data[:length]
            return _response(206, headers, BrokenBody(data, error) if error else io.BytesIO(data))
        return _response(206, headers, io.BytesIO(data))


def _response(
    status: int, headers: Mapping[str, str], body: io.BytesIO | None = None
) -> urllib3.HTTPResponse:
    return urllib3.HTTPResponse(body or io.BytesIO(), headers, status, preload_content=False)
