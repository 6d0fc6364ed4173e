"""The fake container: SageMaker's contract without an engine. FAKE_MODE says how it misbehaves."""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

MODE = os.environ.get("FAKE_MODE", "healthy")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(503 if MODE == "never-healthy" else 200, {"path": self.path})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            request = json.loads(body)
        except ValueError:
            self.answer(400, {"error": "not JSON"})
            return
        getattr(self, f"do_{request.get('do', 'describe')}")(request)

    def do_describe(self, request: dict[str, Any]) -> None:
        model = pathlib.Path(os.environ["SM_MODEL_DIR"])
        seen = {
            "path": self.path,
            "headers": dict(self.headers),
            "request": request,
            "arguments": sys.argv[1:],
            "environment": dict(os.environ),
            "pid": os.getpid(),
            "files": {
                str(path.relative_to(model)): [oct(path.stat().st_mode & 0o777), path.read_text()]
                for path in model.rglob("*")
                if path.is_file()
            },
        }
        self.answer(200, seen)

    def do_fail(self, request: dict[str, Any]) -> None:
        self.answer(request["status"], {"error": "as asked"})

    def do_sleep(self, request: dict[str, Any]) -> None:
        time.sleep(request["seconds"])
        self.answer(200, {})

    def do_die(self, request: dict[str, Any]) -> None:
        print("dying as asked", flush=True)
        os._exit(request["code"])

    def do_stream(self, request: dict[str, Any]) -> None:
        """Parts with a pause between them; `break_at` ends the connection before the last."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number in range(request["parts"]):
                if number == request.get("break_at"):
                    self.close_connection = True
                    return
                part = f"data: {number}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                time.sleep(request["pause"])
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            print("the caller hung up", flush=True)
            self.close_connection = True

    def do_short(self, request: dict[str, Any]) -> None:
        """Fewer bytes than announced."""
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"only this")
        self.close_connection = True

    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "from=container")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the log for what the tests look for."""


def main() -> None:
    print(f"starting as {MODE}", flush=True)
    if MODE == "exit":
        print('{"level": "ERROR", "message": "no model here: found nothing"}', flush=True)
        sys.exit(3)
    if MODE == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif MODE == "children":
        subprocess.Popen(["sleep", "600"])
    address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()


if __name__ == "__main__":
    main()
