"""Containers whose engine is the stub, for tests that tell it how to misbehave.

The tests in `contract/` know no engine and have fixtures of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.container import process
from tests.container.gguf_files import write_gguf
from tests.container.process import ProcessContainer


class Run(Protocol):
    """Starts a container with environment variables, and its log in a file or in `output`."""

    def __call__(self, output: Path | None = None, /, **variables: str) -> ProcessContainer: ...


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
    containers: list[ProcessContainer] = []

    def begin(output: Path | None = None, /, **variables: str) -> ProcessContainer:
        directory = tmp_path / f"container-{len(containers)}"
        directory.mkdir()
        variables = {"SM_MODEL_DIR": str(model_directory), "STUB_INTERVAL": "0", **variables}
        containers.append(process.stub(directory, variables, output))
        return containers[-1]

    yield begin
    for container in containers:
        container.kill()


@pytest.fixture
def run(start: Run, model: Path) -> Run:
    """Start containers with the model `m.gguf`, and wait until they are healthy."""

    def begin(output: Path | None = None, /, **variables: str) -> ProcessContainer:
        container = start(output, **variables)
        container.until_healthy()
        return container

    return begin


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessContainer]:
    """One healthy container for a module's tests that leave it as it is."""
    container = process.stub(tmp_path_factory.mktemp("shared"), {"STUB_INTERVAL": "0"})
    try:
        container.until_healthy()
        yield container
    finally:
        container.kill()


@pytest.fixture
def smollm2() -> Path:
    return process.smollm2()
