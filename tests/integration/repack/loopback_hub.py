"""A hub and its CDN as two servers on loopback, with faults that only real sockets have."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit


@dataclass
class LoopbackHub:
    """Serves one repository; the lists hold faults for the CDN's answers to come, first one first."""

    contents: Mapping[str, bytes]  # as the hub names them
    cdn_contents: dict[str, bytes]  # as the CDN serves them
    prefix: str
    url: str = ""
    cdn_url: str = ""
    stalls: list[int] = field(default_factory=list)  # after so many bytes nothing more comes
    cuts: list[int] = field(default_factory=list)  # after so many bytes the connection is closed
    expired_signatures: set[int] = field(default_factory=set)
    signatures: int = 0
    authorizations: dict[str, set[str | None]] = field(default_factory=lambda: {"hub": set(), "cdn": set()})
    ranges: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: ClassVar[LoopbackHub]

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Hub(_Answers):
    def do_HEAD(self) -> None:
        self.hub.authorizations["hub"].add(self.headers.get("Authorization"))
        path = unquote(urlsplit(self.path).path)
        if not path.startswith(self.hub.prefix):
            # The hub first sends a moved repository's readers on.
            self.answer(307, {"Location": self.hub.prefix + path.partition("/resolve/")[2].partition("/")[2]})
            return
        name = path.removeprefix(self.hub.prefix)
        if name not in self.hub.contents:
            self.answer(404, {"X-Error-Code": "EntryNotFound"})
            return
        content = self.hub.contents[name]
        self.hub.signatures += 1
        location = f"{self.hub.cdn_url}/{quote(name)}?signature={self.hub.signatures}"
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256}"'}
        self.answer(302, {"Location": location, **headers})


class _Cdn(_Answers):
    def do_GET(self) -> None:
        hub = self.hub
        hub.authorizations["cdn"].add(self.headers.get("Authorization"))
        address = urlsplit(self.path)
        if int(parse_qs(address.query)["signature"][0]) in hub.expired_signatures:
            self.answer(403, {})
            return
        content = hub.cdn_contents[unquote(address.path).lstrip("/")]
        span = self.headers["Range"].removeprefix("bytes=")
        hub.ranges.append(span)
        first, last = map(int, span.split("-"))
        body = content[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {span}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if hub.stalls:
            self.wfile.write(body[: hub.stalls.pop(0)])
            hub.closing.wait(30)
            self.close_connection = True
        elif hub.cuts:
            self.wfile.write(body[: hub.cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)


@contextmanager
def serving(contents: Mapping[str, bytes], prefix: str) -> Iterator[LoopbackHub]:
    """Serve until the block ends."""
    hub = LoopbackHub(contents, dict(contents), prefix)
    with _server(_Hub, hub) as hub.url, _server(_Cdn, hub) as hub.cdn_url:
        yield hub
        hub.closing.set()


@contextmanager
def _server(kind: type[_Answers], hub: LoopbackHub) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type(kind.__name__, (kind,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
