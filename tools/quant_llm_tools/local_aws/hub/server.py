"""The stand-in as an HTTP/1.1 server on loopback, with faults on demand and a log of its requests.

Tests in other processes reach both over HTTP: `POST /_faults` arms a fault, given as JSON, for instance
`{"fault": "fail", "path": "*/resolve/*", "status": 503, "times": 3}` (see `faults.Faults.add`), `DELETE
/_faults` forgets all, `GET /_requests` is the log, and `DELETE /_requests` empties it. These four are neither
logged nor subject to faults.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self, cast

from quant_llm_tools.local_aws.hub.catalogue import default_repositories
from quant_llm_tools.local_aws.hub.content import BytesContent, FileContent, read
from quant_llm_tools.local_aws.hub.faults import Fail, Fault, Faults, Stall, Truncate, WrongByte
from quant_llm_tools.local_aws.hub.messages import Request, Response, Slice, json_response
from quant_llm_tools.local_aws.hub.repository import Repository
from quant_llm_tools.local_aws.hub.routes import Hub
from quant_llm_tools.local_aws.hub.signing import UrlSigner

_LOOPBACK = "127.0.0.1"
# The hub and its CDN are two origins to every HTTP client, and one listener here.
_HUB_HOST = "localhost"


@dataclass
class RequestRecord:
    """One request as the log keeps it: no token, no signature; `bytes` of the body sent so far."""

    method: str
    path: str
    range: str | None
    authorized: bool
    status: int
    bytes: int = 0


class HubServer:
    """The stand-in of the Hugging Face hub, serving inside a `with` block or by `serve_forever`.

    `url` is what HF_ENDPOINT must be. `page_size` is the entries of a page of a tree, `url_lifetime_seconds`
    how long a signed URL of the CDN opens.
    """

    def __init__(
        self,
        repositories: Sequence[Repository] | None = None,
        *,
        port: int = 0,
        page_size: int = 1000,
        url_lifetime_seconds: float = 3600,
    ) -> None:
        self.faults = Faults()
        self.closing = threading.Event()
        self._records: list[RequestRecord] = []
        self._lock = threading.Lock()
        repositories = default_repositories() if repositories is None else repositories
        self._listener = _Listener((_LOOPBACK, port), self)
        port = self._listener.server_port
        self.hub = Hub(
            repositories=repositories,
            url=f"http://{_HUB_HOST}:{port}",
            cdn_url=f"http://{_LOOPBACK}:{port}",
            signer=UrlSigner(url_lifetime_seconds),
            page_size=page_size,
        )
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), name="hub")

    @property
    def url(self) -> str:
        """The hub's address."""
        return self.hub.url

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests so far, in the order of their answers."""
        with self._lock:
            return list(self._records)

    def forget_requests(self) -> None:
        """Empty the log."""
        with self._lock:
            self._records.clear()

    def record(self, record: RequestRecord) -> None:
        """Add to the log."""
        with self._lock:
            self._records.append(record)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._thread.join()
        self.closing.set()
        self._listener.close()

    def serve_forever(self) -> None:
        """Serve until an exception, such as KeyboardInterrupt, is raised in this thread.

        The listener keeps its own thread: an exception between accepting a connection and handing it on would
        leave a thread that nothing can wake.
        """
        with self:
            threading.Event().wait()


class _Listener(ThreadingHTTPServer):
    """Threads per connection that end when the server closes, idle connections included."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], hub_server: HubServer) -> None:
        self.hub_server = hub_server
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As HTTPServer, but without asking the resolver for the name of the host, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection while it is open."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away in the middle of a body; anything else is a bug, and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Wake the threads that wait for a next request, then join all."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client was faster
                continue
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "quantllm-hub"
    disable_nagle_algorithm = True

    @property
    def _hub_server(self) -> HubServer:
        return cast(_Listener, self.server).hub_server

    def do_GET(self) -> None:
        """Any request."""
        request = Request(self.command, self.path, self.headers, self._body())
        hub_server = self._hub_server
        if request.path.startswith("/_"):
            self._send(self._control(request), None, None)
            return
        response = hub_server.hub.answer(request)
        has_file = response.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT) and self.command != "HEAD"
        span = (response.body.start, response.body.end) if has_file else (0, 0)
        fault = hub_server.faults.take(request.path, *span)
        if isinstance(fault, Fail):
            response, fault = _failure(fault), None
        record = RequestRecord(
            method=self.command,
            path=request.path,
            range=request.headers.get("Range"),
            authorized="Authorization" in request.headers,
            status=int(response.status),
        )
        hub_server.record(record)
        self._send(response, fault, record)

    do_HEAD = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the log is `HubServer.requests`."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _control(self, request: Request) -> Response:
        hub_server = self._hub_server
        match (request.method, request.path):
            case ("POST", "/_faults"):
                try:
                    hub_server.faults.add(json.loads(request.body))
                except (TypeError, ValueError) as error:
                    return json_response({"error": str(error)}, status=HTTPStatus.BAD_REQUEST)
            case ("DELETE", "/_faults"):
                hub_server.faults.clear()
            case ("GET", "/_requests"):
                return json_response([dataclasses.asdict(record) for record in hub_server.requests])
            case ("DELETE", "/_requests"):
                hub_server.forget_requests()
            case _:
                return json_response({"error": "no such control"}, status=HTTPStatus.NOT_FOUND)
        return json_response({})

    def _send(self, response: Response, fault: Fault | None, record: RequestRecord | None) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        chunked = response.chunked and fault is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif response.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command == "HEAD" or len(response.body) == 0:
            return
        if record is not None:
            # Before the last byte leaves: a client that has it all finds it in the log.
            record.bytes = len(response.body)
        if chunked:
            data = read(response.body.content, response.body.start, response.body.end)
            self.connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        else:
            self._send_body(response.body, fault, record)

    def _send_body(self, body: Slice, fault: Fault | None, record: RequestRecord | None) -> None:
        content, start, end = body.content, body.start, body.end
        match fault:
            case None:
                _transfer(self.connection, body)
            case Truncate(after):
                if record is not None:
                    record.bytes = after
                self.close_connection = True
                _transfer(self.connection, Slice(content, start, start + after))
            case Stall(seconds, after):
                _transfer(self.connection, Slice(content, start, start + after))
                if self._hub_server.closing.wait(seconds):
                    self.close_connection = True
                    return
                _transfer(self.connection, Slice(content, start + after, end))
            case WrongByte(offset):
                inverted = bytes([read(content, offset, offset + 1)[0] ^ 0xFF])
                _transfer(self.connection, Slice(content, start, offset))
                _transfer(self.connection, Slice(BytesContent(inverted), 0, 1))
                _transfer(self.connection, Slice(content, offset + 1, end))


def _transfer(connection: socket.socket, body: Slice) -> None:
    if len(body) == 0:  # to sendfile, a count of 0 is an error
        return
    if isinstance(body.content, FileContent):
        with body.content.path.open("rb") as file:
            connection.sendfile(file, body.start, len(body))
    else:
        for chunk in body.content.chunks(body.start, body.end):
            connection.sendall(chunk)


def _failure(fault: Fail) -> Response:
    headers = {}
    if fault.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(fault.retry_after)
    if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["RateLimit"] = f'"resolvers";r=0;t={fault.retry_after}'
        headers["RateLimit-Policy"] = '"fixed window";"resolvers";q=3000;w=300'
    return json_response({"error": fault.status.phrase}, headers, fault.status)
