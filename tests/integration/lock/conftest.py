"""The hub stand-in on loopback, and agency files to lock against it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools.local_aws.hub import HubServer


@pytest.fixture(scope="module")
def _server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def hub(_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The hub that HF_ENDPOINT names, without faults, and no token in the environment."""
    _server.faults.clear()
    _server.forget_requests()
    monkeypatch.setenv("HF_ENDPOINT", _server.url)
    for name in [name for name in os.environ if name == "HF_TOKEN" or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return _server


@pytest.fixture
def agency(tmp_path: Path) -> Callable[..., Path]:
    """Writes an agency file with one model of the given source."""

    def write(repository: str, engine: str = "llama.cpp", **source: Any) -> Path:
        document = {
            "agency": "moh",
            "environment": {"account": "123456789012", "region": "us-east-1"},
            "models": [
                {
                    "name": "tiny",
                    "source": {"hub": repository, **source},
                    "engine": engine,
                    "instance_type": "ml.g5.xlarge",
                    "context_length": 512,
                    "concurrency": 1,
                }
            ],
        }
        path = tmp_path / "moh.yaml"
        path.write_text(json.dumps(document, indent=2))  # JSON is YAML
        return path

    return write
