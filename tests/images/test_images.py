"""What is in the images, and how they are locked down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.contract.endpoint import SHORT
from tests.images import podman
from tests.images.podman import IdleContainer, PodmanContainer, RunningContainer

ENGINES = {"llama-cpp": podman.llama_cpp, "exllamav2": podman.exllamav2}
PYTHON_PACKAGES = {
    "llama-cpp": {"httptools", "uvloop"},
    "exllamav2": {"httptools", "uvloop"},
    "quantise": set[str](),  # with CUDA=OFF
}
COMPILED_IN = {"llama.cpp", "cpp-httplib", "nlohmann-json", "miniaudio", "stb_image", "xxHash"}
LIST_PYTHON = (
    "import json, sys; from importlib.metadata import distributions; "
    "print(json.dumps([[d.name, d.version] for d in distributions(path=sys.argv[1:])]))"
)


@pytest.fixture(scope="module", params=PYTHON_PACKAGES)
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def container(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningContainer]:
    started = (
        ENGINES[image](tmp_path_factory.mktemp("container"), {})
        if image in ENGINES
        else IdleContainer(podman.QUANTISE_EXL2)
    )
    try:
        if isinstance(started, PodmanContainer):
            started.until_healthy()
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="module")
def sbom(container: RunningContainer, image: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(container.execute("cat", f"/usr/share/doc/{image}/sbom.spdx.json"))
    return read


def listed(sbom: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    """Name and version of the packages whose purl is of this kind."""
    return {
        (package["name"], package["versionInfo"])
        for package in sbom["packages"]
        for reference in package.get("externalRefs", ())
        if reference["referenceLocator"].startswith(f"pkg:{kind}/")
    }


@pytest.mark.parametrize("image", ENGINES, indirect=True)
def test_image_serves_as_sagemaker_runs_it(container: PodmanContainer) -> None:
    status, answer = container.invoke(SHORT)
    assert status == 200, answer


def test_sbom_lists_every_package_that_is_installed(
    container: RunningContainer, sbom: dict[str, Any]
) -> None:
    installed = container.execute(
        "dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Package}\t${Version}\n"
    )
    packages = {tuple(line.split("\t")[1:]) for line in installed.splitlines() if line.startswith("ii")}
    assert len(packages) > 50
    assert listed(sbom, "deb") == packages


def test_sbom_lists_every_python_package(
    container: RunningContainer, image: str, sbom: dict[str, Any]
) -> None:
    folder = python_folder(container, image)
    installed = json.loads(container.execute("python3", "-c", LIST_PYTHON, folder))
    packages = {(name, version) for name, version in installed}
    assert PYTHON_PACKAGES[image] <= {name for name, _ in packages}
    assert listed(sbom, "pypi") == packages


def test_every_python_package_has_its_licence_in_the_image(
    container: RunningContainer, image: str, sbom: dict[str, Any]
) -> None:
    texts = container.execute("find", f"/usr/share/doc/{image}/licenses", "-type", "f", "-size", "+0")
    found = {Path(path).relative_to(f"/usr/share/doc/{image}/licenses").parts[0] for path in texts.split()}
    assert {name for name, _ in listed(sbom, "pypi")} <= found


def test_sbom_names_what_was_compiled_in(image: str, sbom: dict[str, Any]) -> None:
    named = {package["name"] for package in sbom["packages"]}
    assert COMPILED_IN & named == (COMPILED_IN if image == "llama-cpp" else set())
    assert "CUTLASS" not in named  # only CUDA=ON has it


def test_sbom_is_whole(image: str, sbom: dict[str, Any]) -> None:
    ids = [package["SPDXID"] for package in sbom["packages"]]
    assert len(ids) == len(set(ids))
    contained = {
        relationship["relatedSpdxElement"]
        for relationship in sbom["relationships"]
        if relationship["relationshipType"] == "CONTAINS"
    }
    assert contained == set(ids) - {"SPDXRef-Image"}
    assert sbom["name"] == image


def test_container_runs_as_nobody_and_has_no_way_out(container: RunningContainer) -> None:
    status = container.execute("cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {"990"}
    assert int(fields["CapEff"], 16) == 0
    reach = "import socket; socket.create_connection(('1.1.1.1', 53), 3)"
    assert "OSError" in container.execute(
        "python3", "-c", f"try:\n {reach}\nexcept OSError: print('OSError')"
    )


def test_llama_server_is_the_pinned_one(tmp_path: Path) -> None:
    container = podman.llama_cpp(tmp_path, {})
    try:
        container.until_healthy()
        sbom = json.loads(container.execute("cat", "/usr/share/doc/llama-cpp/sbom.spdx.json"))
        (package,) = (package for package in sbom["packages"] if package["name"] == "llama.cpp")
        assert f"commit {package['versionInfo']})" in container.execute("llama-server", "--version")
        assert package["licenseDeclared"] == "MIT"
    finally:
        container.kill()


def python_folder(container: RunningContainer, image: str) -> str:
    if image == "llama-cpp":
        return "/opt/python"
    return container.execute(
        "python3", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
    ).strip()
