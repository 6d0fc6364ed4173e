"""The lock files, and the lists of what the product is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import bill_of_materials

ROOT = Path(__file__).parents[3]


def pins(*names: str) -> set[tuple[str, str]]:
    """Packages and versions of requirements files; some have several, by Python version."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    return {pin for text in texts for pin in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)}


@pytest.mark.parametrize(
    ("lock", "plain"),
    [
        ("requirements.lock", ("requirements.txt",)),
        ("requirements-dev.lock", ("requirements.txt", "requirements-dev.txt")),
    ],
)
def test_a_version_differs_between_the_lock_and_the_plain_file(lock: str, plain: tuple[str, ...]) -> None:
    build = re.search(r'requires = \["setuptools==([^"]+)"\]', (ROOT / "pyproject.toml").read_text())
    assert build is not None
    assert len(pins(*plain)) > 50
    assert pins(lock) == pins(*plain) | {("setuptools", build[1])}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-model.txt"])
def test_a_locked_package_has_no_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_a_node_package_has_no_hash() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    packages = {path: package for path, package in lock["packages"].items() if path}
    assert len(packages) > 20
    assert [path for path, package in packages.items() if "integrity" not in package] == []


def test_a_dependency_has_a_licence_that_binds_who_runs_it_as_a_service() -> None:
    strict = re.compile(r"\b(AGPL|GPL|SSPL|BUSL)", re.IGNORECASE)
    assert [part for part in bill_of_materials.parts() if strict.search(part.licence)] == []


def test_the_sbom_lacks_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    document = bill_of_materials.document(bill_of_materials.parts())
    assert document["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    urls = {
        reference["referenceLocator"]
        for package in document["packages"]
        for reference in package.get("externalRefs", ())
    }
    assert {f"pkg:pypi/{name}@{version}" for name, version in pins("requirements.txt")} <= urls
    assert any(url.startswith("pkg:npm/aws-cdk@") for url in urls)
    assert any(url.startswith("pkg:npm/%40aws-cdk/") for url in urls)
