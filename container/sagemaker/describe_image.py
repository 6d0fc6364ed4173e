"""Writes down what is in the image that it runs in, at the image's build: an SBOM and the licences.

    python3 describe_image.py NAME --python FOLDER [--components FILE]

`/usr/share/doc/NAME/sbom.spdx.json` lists the distribution's packages, the Python packages of FOLDER and what
FILE knows besides, in JSON: `packages` are packages as SPDX has them, in which `${NAME}` stands for a build
argument; `libraries` are folders of shared libraries, with what all of a folder have in common.
`/usr/share/doc/NAME/licenses` gets the Python packages' licences; the distribution's are where they always
are, in `/usr/share/doc/*/copyright`.

SPDX 2.3: https://spdx.github.io/spdx-spec/v2.3/
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import string
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

DOCUMENTS = Path("/usr/share/doc")

_UNKNOWN = "NOASSERTION"
_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|eula|authors)", re.IGNORECASE)
_TEXTS = ("", ".txt", ".md", ".rst")
_PACKAGE_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"

# Debian and Ubuntu keep the texts that many packages share.
_COMMON_LICENCES_FOLDER = Path("/usr/share/common-licenses")
_COMMON_LICENCES = {"License :: OSI Approved :: Apache Software License": "Apache-2.0"}

Package = dict[str, Any]


def main(arguments: Sequence[str]) -> None:
    """Write the SBOM and collect the licences."""
    parser = argparse.ArgumentParser(prog="describe_image.py")
    parser.add_argument("name", help="of the image, and of the folder under /usr/share/doc")
    parser.add_argument("--python", type=Path, required=True, help="folder of the Python packages")
    parser.add_argument("--components", type=Path, help="what no package manager knows")
    given = parser.parse_args(arguments)
    folder = DOCUMENTS / given.name
    folder.mkdir(parents=True, exist_ok=True)
    python = sorted(distributions(path=[str(given.python)]), key=lambda found: found.name.lower())
    packages = [
        *(_components(given.components, os.environ) if given.components else ()),
        *_python_packages(python),
        *_distribution_packages(platform.freedesktop_os_release()),
    ]
    for distribution in python:
        _copy_licences(distribution, folder / "licenses" / distribution.name)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = json.dumps(document(given.name, packages, created=now), indent=1)
    (folder / "sbom.spdx.json").write_text(text + "\n", encoding="utf-8")


def document(
    name: str, packages: Sequence[Package], *, created: str, purpose: str = "CONTAINER"
) -> dict[str, Any]:
    """The SPDX document of an image that contains `packages`; `created` is a time as SPDX writes it.

    `purpose` is SPDX's word for what has the packages in it, if that is no image.
    """
    content = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    image = {"name": name, "SPDXID": "SPDXRef-Image", "primaryPackagePurpose": purpose}
    numbered = [{"SPDXID": f"SPDXRef-Package-{number}", **package} for number, package in enumerate(packages)]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:sha256:{content}:{created}",
        "creationInfo": {"created": created, "creators": ["Tool: describe_image.py"]},
        "packages": [_complete(package) for package in (image, *numbered)],
        "relationships": [
            _relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"),
            *(_relationship("SPDXRef-Image", "CONTAINS", package["SPDXID"]) for package in numbered),
        ],
    }


def _complete(package: Mapping[str, Any]) -> Package:
    """The package with the fields that SPDX wants, for which nothing is known."""
    return {
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
        **package,
    }


def _relationship(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}


def _components(file: Path, arguments: Mapping[str, str]) -> Iterator[Package]:
    """The file's packages, and one for each library in its folders; KeyError names a missing argument."""
    described = json.loads(string.Template(file.read_text(encoding="utf-8")).substitute(arguments))
    yield from described["packages"]
    for libraries in described["libraries"]:
        folder = Path(libraries.pop("folder"))
        for library in sorted(path for path in folder.glob("*.so*") if not path.is_symlink()):
            name, _, version = library.name.partition(".so")
            checksum = hashlib.sha256(library.read_bytes()).hexdigest()
            yield {
                "name": name,
                "versionInfo": version.removeprefix(".") or _UNKNOWN,
                "packageFileName": str(library),
                "checksums": [{"algorithm": "SHA256", "checksumValue": checksum}],
                **libraries,
            }


def _python_packages(found: Sequence[Distribution]) -> Iterator[Package]:
    for distribution in found:
        name, version = distribution.name, distribution.version
        # `metadata` is an email.message.Message, of which the declared type knows a part.
        metadata = {key: distribution.metadata.get_all(key, []) for key in ("License-Expression", "License")}
        declared = "".join(metadata["License-Expression"])
        described = "".join(metadata["License"]) or "; ".join(
            classifier.rpartition(" :: ")[2]
            for classifier in distribution.metadata.get_all("Classifier", [])
            if classifier.startswith("License ::")
        )
        yield {
            "name": name,
            "versionInfo": version,
            "licenseDeclared": declared or _UNKNOWN,
            # What is not an SPDX expression may be said in words.
            **({"licenseComments": described.splitlines()[0]} if described and not declared else {}),
            "externalRefs": [package_url(f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}")],
        }


def _distribution_packages(release: Mapping[str, str]) -> Iterator[Package]:
    listed = subprocess.run(  # noqa: S603 - fixed arguments
        ["/usr/bin/dpkg-query", "--show", f"--showformat={_PACKAGE_FORMAT}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    origin = f"distro={release['ID']}-{release.get('VERSION_ID', '')}"
    for line in listed.splitlines():
        status, name, version, architecture = line.split("\t")
        if status.startswith("ii"):
            located = f"{name}@{urllib.parse.quote(version, safe=':~')}"
            purl = f"pkg:deb/{release['ID']}/{located}?arch={architecture}&{origin}"
            yield {"name": name, "versionInfo": version, "externalRefs": [package_url(purl)]}


def package_url(locator: str) -> dict[str, str]:
    """SPDX's reference to a package by its URL, such as `pkg:pypi/boto3@1.44.5`."""
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": locator,
    }


def _copy_licences(distribution: Distribution, target: Path) -> None:
    """The licences beside a package's metadata, else among its files, else the text of the one it names."""
    target.mkdir(parents=True, exist_ok=True)
    files = [file for file in distribution.files or () if _LICENCE_FILE.search(file.name)]
    beside = [file for file in files if ".dist-info" in file.parts[0]]
    for file in beside or [file for file in files if file.suffix in _TEXTS]:
        copy = target.joinpath(*file.parts[1:])
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(Path(file.locate()).read_bytes())
    if not any(target.iterdir()) and (name := _common_licence(distribution)) is not None:
        (target / name).write_bytes((_COMMON_LICENCES_FOLDER / name).read_bytes())


def _common_licence(distribution: Distribution) -> str | None:
    """The name under which the distribution has the text of a package's licence."""
    classifiers = distribution.metadata.get_all("Classifier", [])
    expressions = distribution.metadata.get_all("License-Expression", [])
    named = _COMMON_LICENCES.items()
    return next((known for text, known in named if text in classifiers or known in expressions), None)


if __name__ == "__main__":
    main(sys.argv[1:])
