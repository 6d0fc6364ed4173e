"""Requests and responses as values, and what HTTP says about ranges and validators (RFC 9110)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from quant_llm_tools.local_aws.hub.content import BytesContent, Content

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Request:
    """One request; `target` is the path as sent, still quoted, with the query."""

    method: str
    target: str
    headers: Message = field(default_factory=Message)
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        """The path, quoted as sent."""
        return urlsplit(self.target).path

    @property
    def path(self) -> str:
        """The path, unquoted."""
        return unquote(self.raw_path)

    @property
    def query(self) -> str:
        """The query string."""
        return urlsplit(self.target).query

    @property
    def token(self) -> str | None:
        """The bearer token."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" and token else None


@dataclass(frozen=True)
class Slice:
    """The bytes of a content from `start` to `end`."""

    content: Content
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Response:
    """One response. A chunked one has no Content-Length."""

    status: int
    headers: Mapping[str, str]
    body: Slice
    chunked: bool = False


def bytes_response(status: int, headers: Mapping[str, str], data: bytes) -> Response:
    """A response with these bytes."""
    return Response(status, headers, Slice(BytesContent(data), 0, len(data)))


def json_response(document: object, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """A response with a JSON document."""
    content_type = {"Content-Type": "application/json; charset=utf-8"}
    return bytes_response(status, content_type | dict(headers or {}), json.dumps(document).encode())


def text_response(status: int, headers: Mapping[str, str], text: str) -> Response:
    """A response with a line for people."""
    return bytes_response(status, {"Content-Type": "text/plain; charset=utf-8", **headers}, text.encode())


def content_response(request: Request, content: Content, etag: str, headers: Mapping[str, str]) -> Response:
    """A file or the range of it that is asked for: 200, 206, 304 or 416.

    Several ranges at once are answered with the whole, as RFC 9110 allows.
    """
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{etag}"', **headers}
    if matches(request.headers.get("If-None-Match"), etag):
        return bytes_response(HTTPStatus.NOT_MODIFIED, headers, b"")
    size = content.size
    wanted = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    validator = request.headers.get("If-Range")
    if wanted is None or not any(wanted.groups()) or (validator and not matches(validator, etag)):
        return Response(HTTPStatus.OK, headers, Slice(content, 0, size))
    first, last = wanted.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        unsatisfied = {**headers, "Content-Range": f"bytes */{size}"}
        return bytes_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unsatisfied, b"")
    partial = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Response(HTTPStatus.PARTIAL_CONTENT, partial, Slice(content, start, end))


def matches(validators: str | None, etag: str) -> bool:
    """Whether a list of validators, as in If-None-Match, has this ETag."""
    return validators is not None and etag in {
        validator.strip().removeprefix("W/").strip('"') for validator in validators.split(",")
    }
