"""`make audit`: which locked packages have vulnerabilities that the world knows of.

pip-audit asks OSV (https://osv.dev) about the Python packages, those of the images among them; `npm audit`
asks the npm registry about the Node packages. The lock files are read, and nothing is installed.

Exit code 0: all was audited, and nothing is known. 1: something is known. 3: nothing is known, but not all
was audited, for a service was not reached; a line says which. `make` turns both into its own 2.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[1]
OSV_URL = "https://api.osv.dev/v1/query"
PYTHON_LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-model.txt",
    "container/exllamav2/requirements-cuda.txt",
    "container/exllamav2/requirements-flash-attn.txt",
    "container/exllamav2/requirements.txt",
    "container/quantise/requirements-gguf.txt",
    "container/quantise/requirements-gptq-build.txt",
    "container/quantise/requirements-gptq.txt",
    "container/quantise/requirements-gptq-build.txt",
    "container/quantise/requirements-gptq.txt",
    "container/sagemaker/requirements.txt",
)
NODE_LOCK = "package-lock.json"

VULNERABLE, NOT_AUDITED = 1, 3


@dataclass(frozen=True)
class Audit:
    """What came of one lock file: a line for each vulnerability, or why nothing is known of it."""

    lock: str
    packages: int = 0
    known: tuple[str, ...] = ()
    not_audited: str = ""

    def lines(self) -> list[str]:
        """For people."""
        if self.not_audited:
            return [f"{self.lock}: not audited: {self.not_audited}"]
        if self.known:
            return [f"{self.lock}: {vulnerability}" for vulnerability in self.known]
        return [f"{self.lock}: no known vulnerability, packages: {self.packages}"]


def audit_python(osv_url: str) -> list[Audit]:
    """Ask OSV about the requirements files."""
    try:
        example = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "1"}
        httpx2.post(osv_url, json=example, timeout=15).raise_for_status()
    except httpx2.HTTPError as error:
        first_line = str(error).partition("\n")[0]
        reason = f"{osv_url} was not reached: {first_line}"
        return [Audit(lock, not_audited=reason) for lock in PYTHON_LOCKS]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda lock: audit_requirements(lock, osv_url), PYTHON_LOCKS))


def audit_requirements(lock: str, osv_url: str) -> Audit:
    """Ask OSV about a requirements file with hashes; packages for other platforms are left out."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off"]
        command += ["--vulnerability-service", "osv", "--osv-url", osv_url]
        command += ["--requirement", lock, "--format", "json", "--output", str(report)]
        ended = subprocess.run(  # noqa: S603 - tools of ours on files of ours
            command, cwd=ROOT, capture_output=True, text=True
        )
        # Its exit code is 1 for a vulnerability, and for every error.
        if not report.exists():
            return Audit(lock, not_audited=f"pip-audit: {last_line(ended.stderr)}")
        return read_pip_audit(lock, json.loads(report.read_text(encoding="utf-8")))


def read_pip_audit(lock: str, report: dict[str, Any]) -> Audit:
    """The JSON report of pip-audit."""
    packages = report["dependencies"]
    skipped = [
        f"{package['name']}: {package['skip_reason']}" for package in packages if "skip_reason" in package
    ]
    if skipped or not packages:
        return Audit(lock, not_audited="; ".join(skipped) or "pip-audit found no package in it")
    known = tuple(
        f"{package['name']} {package['version']}: {', '.join([found['id'], *found['aliases']])}: "
        f"{shortened(found['description'])}; fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package["vulns"]
    )
    return Audit(lock, packages=len(packages), known=known)


def audit_node() -> Audit:
    """Ask the npm registry, or the one that npm's settings name, about package-lock.json."""
    npm = str(Path(sys.executable).with_name("npm"))  # `make setup` puts it there
    command = [npm, "audit", "--package-lock-only", "--json"]
    ended = subprocess.run(  # noqa: S603 - tools of ours on files of ours
        command, cwd=ROOT, capture_output=True, text=True
    )
    try:
        return read_npm_audit(json.loads(ended.stdout))
    except ValueError:
        return Audit(NODE_LOCK, not_audited=f"npm: {last_line(ended.stderr)}")


def read_npm_audit(report: dict[str, Any]) -> Audit:
    """The JSON report of `npm audit`, or its error."""
    if "auditReportVersion" not in report:
        reason = report.get("message") or report.get("error", {}).get("summary") or "npm made no report"
        return Audit(NODE_LOCK, not_audited=f"npm: {reason}")
    known = tuple(
        f"{name} {found['range']}: {found['url']}: {shortened(found['title'])} ({found['severity']})"
        for name, package in report["vulnerabilities"].items()
        for found in package["via"]
        if isinstance(found, dict)  # a text names the package that brings it, which has a line of its own
    )
    return Audit(NODE_LOCK, packages=report["metadata"]["dependencies"]["total"], known=known)


def exit_code(audits: Iterable[Audit]) -> int:
    """What is known counts for more than what could not be asked."""
    audits = list(audits)
    if any(audit.known for audit in audits):
        return VULNERABLE
    return NOT_AUDITED if any(audit.not_audited for audit in audits) else 0


def last_line(text: str) -> str:
    """What a program said last, which is what went wrong."""
    return text.strip().rpartition("\n")[2] or "it said nothing"


def shortened(text: str) -> str:
    """The beginning of a description that may be pages long."""
    line = " ".join(text.split())
    return line if len(line) <= 150 else f"{line[:150]}…"


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit every lock file; prints a line or more for each."""
    parser = argparse.ArgumentParser(description="Known vulnerabilities of the locked packages.")
    parser.add_argument("--osv-url", default=OSV_URL, help="a service with OSV's API (default: %(default)s)")
    osv_url: str = parser.parse_args(arguments).osv_url
    audits = [*audit_python(osv_url), audit_node()]
    for audit in audits:
        print(*audit.lines(), sep="\n")
    return exit_code(audits)


if __name__ == "__main__":
    sys.exit(main())
