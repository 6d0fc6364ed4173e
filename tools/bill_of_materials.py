"""Lists what the product is made of: every package that `make setup` installs, with its licence.

`make sbom` runs it with container/sagemaker in PYTHONPATH, where the images' SBOM is made; it prints the SBOM
in SPDX 2.3. reference_pages.py makes docs/dependencies.md of it.
Names, versions and hashes are those of the lock files; a Python package's licence is what its metadata says,
where it is installed. The images write their own SBOMs when they are built: docs/images.md.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import describe_image

ROOT = Path(__file__).parents[1]
PYTHON_LOCKS = ("requirements.txt", "requirements-model.txt")
UNKNOWN = "NOASSERTION"

# Classifiers of PyPI that stand for one licence of SPDX's list; "BSD License" stands for several.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "BSD License": "BSD",
}
_REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Part:
    """One package: its registry (`pypi` or `npm`), name, version, and licence as far as it is known."""

    registry: str
    name: str
    version: str
    licence: str

    @property
    def package_url(self) -> str:
        """By the scheme of https://github.com/package-url/purl-spec; the @ of a scope is encoded."""
        return f"pkg:{self.registry}/{self.name.replace('@', '%40')}@{self.version}"


def parts() -> list[Part]:
    """All packages, in the order of registry and name."""
    return sorted({*_python_packages(), *_node_packages()})


def _python_packages() -> Iterator[Part]:
    for lock in PYTHON_LOCKS:
        for match in _REQUIREMENT.finditer((ROOT / lock).read_text(encoding="utf-8")):
            yield Part("pypi", match["name"], match["version"], python_licence(match["name"]))


def python_licence(name: str) -> str:
    """The licence in an installed package's metadata; NOASSERTION where it isn't installed or says none."""
    try:
        described = metadata(name).json
    except PackageNotFoundError:  # of another platform
        return UNKNOWN
    if expression := described.get("license_expression"):
        return str(expression)
    classifiers = [one.rpartition(" :: ")[2] for one in described.get("classifier", ())]
    known = {_CLASSIFIERS[one] for one in classifiers if one in _CLASSIFIERS}
    if known:
        return " OR ".join(sorted(known))
    lines = str(described.get("license", "")).splitlines()
    return lines[0].strip() if lines else UNKNOWN


def _node_packages() -> Iterator[Part]:
    lock: dict[str, Any] = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    for path, package in lock["packages"].items():
        if path:  # the project itself has none
            name = path.rpartition("node_modules/")[2]
            yield Part("npm", name, package["version"], package.get("license", UNKNOWN))


def document(found: Sequence[Part]) -> dict[str, Any]:
    """The SPDX document. SOURCE_DATE_EPOCH, in seconds, sets its time, as reproducible builds have it."""
    now = datetime.datetime.now(datetime.UTC)
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    packages = [
        {
            "name": part.name,
            "versionInfo": part.version,
            # What is no expression of SPDX ("BSD" alone) is said in words.
            **(
                {"licenseComments": part.licence}
                if part.licence == "BSD"
                else {"licenseDeclared": part.licence}
            ),
            "externalRefs": [describe_image.package_url(part.package_url)],
        }
        for part in found
    ]
    created = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return describe_image.document("quant-llm", packages, created=created, purpose="APPLICATION")


def markdown(found: Sequence[Part]) -> str:
    """The table for people."""
    rows = [f"| {part.name} | {part.version} | {part.licence} | {part.registry} |" for part in found]
    return "\n".join(
        [
            "# Dependencies",
            "",
            "```",
            "make sbom        # the same as an SBOM in SPDX 2.3: build/sbom.spdx.json",
            "```",
            "",
            "What `make setup` installs to run the product, from the lock files. The tools of the tests are",
            "not in it, nor is what the images contain: each has its own SBOM ([images.md](images.md)). A",
            f"licence is what the package's metadata says; `{UNKNOWN}`: it says none, or the package is for",
            "another platform.",
            "",
            "| package | version | licence | registry |",
            "|---|---|---|---|",
            *rows,
            "",
            "This page is generated: `make format` writes it, and a test compares it.",
        ]
    )


if __name__ == "__main__":
    print(json.dumps(document(parts()), indent=1))
