"""The contract of the containers as tests that know no engine: HTTP, signals and the log are all they use.

What they run against is told by two variables:

    CONTRACT_URL=http://host:port      a container that runs already, on any machine. The tests that start
                                       containers of their own are skipped, unless there is a starter as well.
    CONTRACT_STARTER=module:function   starts containers, see `container.Starter`. Without either variable it
                                       is `tests.container.process:stub`: the entrypoint as a process, in
                                       front of a stub engine. `tests.container.process:llama_cpp` has
                                       llama.cpp's own server and a real model.

Only pytest is needed; on a machine without this repository's plugins:

    cd tests/container/contract
    CONTRACT_URL=http://127.0.0.1:8080 python3 -m pytest -c contract.ini .
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.container.contract.container import Container, Starter
from tests.container.contract.endpoint import Endpoint

_URL = "CONTRACT_URL"
_STARTER = "CONTRACT_STARTER"
_DEFAULT_STARTER = "tests.container.process:stub"


class Start(Protocol):
    """Starts a container with environment variables, and waits for nothing."""

    def __call__(self, **variables: str) -> Container: ...


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The healthy container of all tests that leave it as it is."""
    if url := os.environ.get(_URL):
        running = Endpoint(url)
        running.until_healthy()
        yield running
        running.close()
        return
    container = _starter()(tmp_path_factory.mktemp("contract"), {})
    try:
        container.until_healthy()
        yield container
    finally:
        container.close()
        container.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Containers of a test's own."""
    if os.environ.get(_URL) and not os.environ.get(_STARTER):
        pytest.skip(f"{_URL} is one container that runs, {_STARTER} could start others")
    containers: list[Container] = []

    def begin(**variables: str) -> Container:
        directory = tmp_path / f"container-{len(containers)}"
        directory.mkdir()
        containers.append(_starter()(directory, variables))
        return containers[-1]

    yield begin
    for container in containers:
        container.close()
        container.kill()


@pytest.fixture
def run(start: Start) -> Start:
    """The same, healthy."""

    def begin(**variables: str) -> Container:
        container = start(**variables)
        container.until_healthy()
        return container

    return begin


def _starter() -> Starter:
    module, _, function = os.environ.get(_STARTER, _DEFAULT_STARTER).partition(":")
    starter: Starter = getattr(importlib.import_module(module), function)
    return starter
