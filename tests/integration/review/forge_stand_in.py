"""Stand-ins of GitHub's and GitLab's REST APIs on loopback, as far as posting a comment needs them."""

from __future__ import annotations

import io
import json
import re
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

DROPPED = 0
"""In place of a status: the connection is closed without an answer."""

PAGE = 2
"""Items of a page, however many are asked for, so that everything has pages."""


@dataclass
class Request:
    """What was asked: `token` is the header that holds it."""

    method: str
    path: str
    token: str
    content: Any


@dataclass
class Forge:
    """A forge's state: what is asked by GET, by path; the comments; answers to give first, in order."""

    port: int = 0
    lists: dict[str, list[Any]] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes | str] = field(default_factory=dict)
    """A file's bytes, or the address of a redirect."""
    wrapped: dict[str, str] = field(default_factory=dict)
    """Lists that come in an object, and the name there."""
    bodies: dict[int, str] = field(default_factory=dict)
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    author: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def sent(self) -> list[tuple[str, str]]:
        """The requests that change something."""
        return [(one.method, one.path) for one in self.requests if one.method != "GET"]

    def comments(self, path: str) -> list[str]:
        return [one["body"] for one in self.lists[path]]


class Handler(BaseHTTPRequestHandler):
    forge: ClassVar[Forge]

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        forge, parts = self.forge, urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        content = json.loads(self.rfile.read(length)) if length else None
        token = self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or ""
        forge.requests.append(Request(self.command, parts.path, token, content))
        if forge.first:
            status, headers = forge.first.pop(0)
            if status == DROPPED:
                self.close_connection = True
                return
            self._answer(status, b'{"message": "not now"}', headers)
        elif self.command == "GET":
            self._get(parts.path, urllib.parse.parse_qs(parts.query))
        else:
            self._change(parts.path, content)

    def _get(self, path: str, query: dict[str, list[str]]) -> None:
        forge = self.forge
        if path in forge.files:
            file = forge.files[path]
            if isinstance(file, str):
                self._answer(302, b"", {"Location": file})
            else:
                self._answer(200, file)
        elif path in forge.objects:
            self._answer(200, json.dumps(forge.objects[path]).encode())
        elif path in forge.lists:
            page = int(query.get("page", ["1"])[0])
            found: Any = forge.lists[path][(page - 1) * PAGE : page * PAGE]
            following = {key: values[0] for key, values in query.items()} | {"page": str(page + 1)}
            link = f'<{forge.url}{path}?{urllib.parse.urlencode(following)}>; rel="next"'
            more = {"Link": link} if len(forge.lists[path]) > page * PAGE else {}
            if path in forge.wrapped:
                found = {"total_count": len(forge.lists[path]), forge.wrapped[path]: found}
            self._answer(200, json.dumps(found).encode(), more)
        else:
            self._answer(404, b'{"message": "Not Found"}')

    def _change(self, path: str, content: Any) -> None:
        """POST adds a comment to a list; PATCH and PUT change the one whose number the path ends with."""
        forge = self.forge
        if self.command == "POST":
            made = {"id": 1000 + len(forge.requests), "body": content["body"], **forge.author}
            forge.lists[path].append(made)
            self._answer(201, json.dumps(made).encode())
            return
        number = int(re.findall(r"\d+$", path)[0])
        for items in forge.lists.values():
            for item in items:
                if item.get("id") == number and "body" in item:
                    item["body"] = content["body"]
                    self._answer(200, json.dumps(item).encode())
                    return
        self._answer(404, b'{"message": "Not Found"}')

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served(forge: Forge) -> Iterator[Forge]:
    handler = type("BoundHandler", (Handler,), {"forge": forge})
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        forge.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield forge
        finally:
            server.shutdown()
            thread.join()


def zipped(**files: bytes) -> bytes:
    """A zip archive; underscores in names stand for the dots and dashes of `quantllm-review.json`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
