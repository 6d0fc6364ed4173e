"""The download of a pinned source distribution, from an index on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "fetch_sdist.py"
CONTENT = b"a source distribution"
JSON = "application/vnd.pypi.simple.v1+json"


class Index(BaseHTTPRequestHandler):
    """Answers with `pages`: content types and contents by path."""

    pages: ClassVar[dict[str, tuple[str, bytes]]] = {}

    def do_GET(self) -> None:
        kind, content = self.pages.get(self.path, ("", b""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[str]:
    Index.pages = {"/files/some_engine-1.2.tar.gz": ("application/gzip", CONTENT)}
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


def listing(kind: str, content: str) -> None:
    Index.pages["/simple/some-engine/"] = (kind, content.encode())


def fetch(tmp_path: Path, index: str, sha256: str, version: str = "1.2") -> subprocess.CompletedProcess[str]:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# why\nsome_engine=={version} \\\n    --hash=sha256:{sha256}\n")
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(requirements), str(tmp_path / "target")],
        env={**os.environ, "PIP_INDEX_URL": index},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (JSON, json.dumps({"files": [{"url": "../../files/some_engine-1.2.tar.gz"}]})),
        ("text/html", '<a class="x" href="../../files/some_engine-1.2.tar.gz#sha256=0">some_engine</a>'),
    ],
    ids=["JSON", "HTML"],
)
def test_the_pinned_file_arrives_from_either_kind_of_index(
    tmp_path: Path, index: str, kind: str, content: str
) -> None:
    listing(kind, content)
    finished = fetch(tmp_path, index, hashlib.sha256(CONTENT).hexdigest())
    assert finished.stderr == ""
    assert Path(finished.stdout.strip()).read_bytes() == CONTENT


def test_another_content_is_refused_and_not_kept(tmp_path: Path, index: str) -> None:
    listing("text/html", '<a href="../../files/some_engine-1.2.tar.gz">some_engine</a>')
    finished = fetch(tmp_path, index, "0" * 64)
    assert finished.returncode != 0
    assert f"expected sha256 {'0' * 64}, got {hashlib.sha256(CONTENT).hexdigest()}" in finished.stderr
    assert list((tmp_path / "target").iterdir()) == []


def test_a_version_that_the_index_lacks_is_named(tmp_path: Path, index: str) -> None:
    listing("text/html", "<a href='x'>nothing</a>")
    finished = fetch(tmp_path, index, "0" * 64, version="9.9")
    assert "has no source distribution of some_engine 9.9" in finished.stderr
