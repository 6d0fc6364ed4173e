"""What the images' SBOM says; `tests/images` compares it with real images."""

from __future__ import annotations

import collections
import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

import pytest

import describe_image
from quant_llm.paths import CONTAINER


@pytest.fixture
def components(tmp_path: Path) -> Path:
    """A file of components, and a folder with one library under two names."""
    libraries = tmp_path / "lib"
    libraries.mkdir()
    (libraries / "libcublas.so.12.8.4.1").write_bytes(b"cublas")
    (libraries / "libcublas.so.12").symlink_to("libcublas.so.12.8.4.1")
    file = tmp_path / "components.json"
    file.write_text(
        json.dumps(
            {
                "libraries": [{"folder": str(libraries), "supplier": "Organization: NVIDIA Corporation"}],
                "packages": [{"name": "llama.cpp", "versionInfo": "${REF}"}],
            }
        )
    )
    return file


def test_components_have_the_build_arguments_and_each_library_once(components: Path) -> None:
    llama_cpp, library = describe_image._components(components, {"REF": "b11549"})
    assert llama_cpp["versionInfo"] == "b11549"
    assert (library["name"], library["versionInfo"]) == ("libcublas", "12.8.4.1")
    assert library["checksums"] == [
        {"algorithm": "SHA256", "checksumValue": hashlib.sha256(b"cublas").hexdigest()}
    ]
    assert library["supplier"] == "Organization: NVIDIA Corporation"


def test_a_build_argument_that_is_missing_fails_the_build(components: Path) -> None:
    with pytest.raises(KeyError, match="REF"):
        list(describe_image._components(components, {}))


@pytest.mark.parametrize(
    "file", sorted(CONTAINER.glob("*/components.json")), ids=lambda file: file.parent.name
)
def test_components_of_an_image_are_not_of_the_form_that_is_read(file: Path) -> None:
    arguments: Mapping[str, str] = collections.defaultdict(lambda: "1")
    assert all(component["name"] for component in describe_image._components(file, arguments))


def test_every_package_has_what_spdx_asks_for() -> None:
    document = describe_image.document("x", [{"name": "a"}, {"name": "b"}], created="2026-01-01T00:00:00Z")
    required = {"name", "SPDXID", "downloadLocation"}
    assert all(required <= package.keys() for package in document["packages"])
    assert [package["name"] for package in document["packages"]] == ["x", "a", "b"]
    again = describe_image.document("x", [{"name": "a"}], created="2026-01-01T00:00:00Z")
    assert again["documentNamespace"] != document["documentNamespace"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"licenses/LICENSE-MIT": "text of MIT", "METADATA": "License: MIT"},
            {"licenses/LICENSE-MIT": "text of MIT"},
        ),
        (
            {"METADATA": "Classifier: License :: OSI Approved :: Apache Software License"},
            {"Apache-2.0": "text of Apache"},
        ),
        (
            {"METADATA": "License-Expression: Apache-2.0", "../thing/license_check.py": "code"},
            {"Apache-2.0": "text of Apache"},
        ),
        (
            {"METADATA": "License: own", "../thing/LICENSE.txt": "text of its own"},
            {"LICENSE.txt": "text of its own"},
        ),
        (
            {"METADATA": "", "LICENSE": "text", "../thing/vendor/LICENSE": "of something else"},
            {"LICENSE": "text"},
        ),
    ],
    ids=["its own", "by classifier", "by expression", "among its files", "beside its metadata first"],
)
def test_licences_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: dict[str, str]
) -> None:
    common = tmp_path / "common"
    common.mkdir()
    (common / "Apache-2.0").write_text("text of Apache")
    monkeypatch.setattr(describe_image, "_COMMON_LICENCES_FOLDER", common)
    information = tmp_path / "python" / "thing-1.dist-info"
    for name, text in files.items():
        file = information / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"Name: thing\nVersion: 1\n{text}\n" if name == "METADATA" else text)
    paths = [os.path.normpath(f"thing-1.dist-info/{name}") for name in files]
    (information / "RECORD").write_text("".join(f"{path},,\n" for path in paths))
    (found,) = distributions(path=[str(tmp_path / "python")])
    describe_image._copy_licences(found, tmp_path / "out")
    copied = tmp_path / "out"
    assert {
        path.relative_to(copied).as_posix(): path.read_text() for path in copied.rglob("*") if path.is_file()
    } == expected
