"""An OpenAI-compatible server that does what a prompt asks for: `@status 429`, `@break`, `@garbage`, …"""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TOKENS = 4


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or tokens would wait 40 ms for each other
    server: FakeEngine

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "fake"}]})

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.path, dict(self.headers), fields))
        prompt = str(fields.get("prompt") or fields["messages"][0]["content"])
        if "@status" in prompt:
            self._send(int(prompt.split("@status ")[1][:3]), {"error": {"message": "as asked"}})
        elif "@garbage" in prompt:
            self.close_connection = True
            self.wfile.write(b"this is no HTTP at all\r\n\r\n")
        elif "@hang up" in prompt:
            self.close_connection = True
        else:
            self._stream(prompt, fields)

    def _stream(self, prompt: str, fields: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        tokens = min(fields["max_tokens"], TOKENS)
        for number in range(tokens):
            if "@break" in prompt and number == 2:
                self.close_connection = True
                return
            if "@slow" in prompt and number == 1:
                self.server.released.wait(30)
            self._event({"choices": [{"text": f" t{number}", "index": 0}]})
            time.sleep(self.server.gap_s)
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": tokens}
        self._event({"choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(event)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        except OSError:
            self.close_connection = True

    def _send(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class FakeEngine(http.server.ThreadingHTTPServer):
    """`asked` is what came: path, headers and fields. `gap_s` lies between tokens."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.connections = 0
        self.gap_s = 0.0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def fake_engine() -> Iterator[FakeEngine]:
    """The server, for the time of the block."""
    with FakeEngine() as engine:
        thread = threading.Thread(target=engine.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield engine
        finally:
            engine.released.set()
            engine.shutdown()
            thread.join()
