"""A STUB of llama-server for the container's tests: the routes that the container uses, and no model.

It says " token" as often as asked, and misbehaves on command. A request's field `stub` may hold
- `tokens`: how many (default: `max_tokens`, or 3), `interval`: seconds between, `padding`: more bytes in each
- `do`: `die`, `die late` (after the first token), `hang` for `seconds` (default: for ever), or `stall`, which
  is to hang and answer health checks
The environment may hold `STUB_LOAD_SECONDS`, `STUB_FIRST_TOKEN_SECONDS` (how long the first answer takes),
`STUB_INTERVAL` (the default of `interval`), `STUB_CHATTER` (lines to log at the start) and `STUB_TOKENS=0`,
which makes it generate nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STARTED = time.monotonic()
LOAD_SECONDS = float(os.environ.get("STUB_LOAD_SECONDS", "0"))
INTERVAL = float(os.environ.get("STUB_INTERVAL", "0"))
STUB_TOKENS = int(os.environ.get("STUB_TOKENS", "1"))
CONTEXT = 2048
CHAT = "/v1/chat/completions"
PULSE = "/lora-adapters"


class Engine(ThreadingHTTPServer):
    """A server on a Unix socket."""

    address_family = socket.AF_UNIX
    daemon_threads = True
    request_queue_size = 128
    running = 0
    first_token_seconds = float(os.environ.get("STUB_FIRST_TOKEN_SECONDS", "0"))
    hung_until = 0.0
    stalled = False

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Engine

    def log_message(self, format: str, *arguments: object) -> None:
        """A log line per request would hide the container's."""

    def do_GET(self) -> None:
        if self.path == PULSE or not self.server.stalled:
            self._hang()
        if self.path == "/health":
            loading = time.monotonic() - STARTED < LOAD_SECONDS
            self._json(503 if loading else 200, {"status": "loading" if loading else "ok"})
        elif self.path == "/metrics":
            self._send(200, "text/plain", f"stub_requests_running {self.server.running}\n".encode())
        elif self.path == "/v1/models":
            options = {name: value for name, value in os.environ.items() if name.startswith("LLAMA_")}
            self._json(200, {"object": "list", "arguments": sys.argv[1:], "options": options})
        else:
            self._json(404, {"error": {"code": 404}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        command = body.get("stub", {})
        if command.get("do") in ("hang", "stall"):
            self.server.stalled = command["do"] == "stall"
            self.server.hung_until = time.monotonic() + command.get("seconds", 3600)
        self._hang()
        if command.get("do") == "die":
            print("stub: out of memory, giving up", flush=True)
            os._exit(134)
        self.server.running += 1
        try:
            time.sleep(self.server.first_token_seconds)
            self.server.first_token_seconds = 0
            self._generate(body, command)
        except OSError:
            self.close_connection = True  # the caller has gone
        finally:
            self.server.running -= 1

    def _generate(self, body: dict[str, Any], command: dict[str, Any]) -> None:
        if self.path == "/v1/embeddings":
            self._json(200, {"data": [{"embedding": [0.0, 1.0]}], "route": self.path, "received": body})
            return
        count = min(command.get("tokens", body.get("max_tokens") or 3), CONTEXT) * STUB_TOKENS
        usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": 1 + count}
        tokens = self._tokens(count, command)
        if not body.get("stream"):
            answer = self._answer("".join(tokens), "length", streamed=False)
            self._json(200, {**answer, "usage": usage, "route": self.path, "received": body})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for token in tokens:
            self._event(self._answer(token, None, streamed=True))
            if command.get("do") == "die late":
                time.sleep(0.2)  # so that the token is on its way
                os._exit(134)
        last = self._answer("", "length", streamed=True)
        self._event({**last, "usage": usage, "route": self.path, "received": body})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _answer(self, text: str, finish_reason: str | None, *, streamed: bool) -> dict[str, Any]:
        """The fields of OpenAI's API, as llama.cpp has them."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
        if self.path != CHAT:
            choice["text"] = text
        elif streamed:
            choice["delta"] = {"content": text} if text else {}
        else:
            choice["message"] = {"role": "assistant", "content": text}
        kind = "chat.completion" + (".chunk" if streamed else "") if self.path == CHAT else "text_completion"
        return {"id": "stub", "object": kind, "created": 0, "model": "stub", "choices": [choice]}

    def _tokens(self, count: int, command: dict[str, Any]) -> Iterator[str]:
        for number in range(count):
            if number:
                time.sleep(command.get("interval", INTERVAL))
            yield " token" + "." * command.get("padding", 0)

    def _event(self, fields: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps(fields)}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _hang(self) -> None:
        while (left := self.server.hung_until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _json(self, status: int, value: object) -> None:
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(prog="llama-server")
    for option in ("--model", "--host"):
        parser.add_argument(option, required=True)
    for option in ("--n-gpu-layers", "--lora"):
        parser.add_argument(option)
    for switch in ("--metrics", "--no-ui"):
        parser.add_argument(switch, action="store_true", required=True)
    arguments = parser.parse_args()
    print(f"stub: this is a stub, loading {arguments.model}", flush=True)
    for number in range(int(os.environ.get("STUB_CHATTER", "0"))):
        print(f"stub: line {number} " + "x" * 100, flush=True)
    server = Engine(arguments.host, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()  # SIGTERM ends the process


if __name__ == "__main__":
    main()
