"""The container's entrypoint in front of the ExLlama server and its fake backend, for the contract suite too.

CONTRACT_STARTER=tests.integration.exllama.starter:fake python -m pytest tests/container/contract
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.container.process import ROOT, ProcessContainer
from tests.integration.exllama.model_files import write_model

_PATHS = (ROOT, ROOT / "container" / "sagemaker", ROOT / "container" / "exllamav2")


def fake(directory: Path, variables: Mapping[str, str]) -> ProcessContainer:
    """A container whose engine says the prompt again, 100 tokens a second."""
    if "SM_MODEL_DIR" not in variables:
        variables = {"SM_MODEL_DIR": str(write_model(directory / "model" / "bytes").parent), **variables}
    variables = {"FAKE_STEP_SECONDS": "0.01", **variables}
    return ProcessContainer(
        directory, variables, engine="exllamav2", programs=write_python(directory / "bin")
    )


def write_python(directory: Path) -> Path:
    """A folder with a `python3` that is the fake engine."""
    directory.mkdir()
    program = directory / "python3"
    path = os.pathsep.join(map(str, _PATHS))
    command = f"PYTHONPATH='{path}' '{sys.executable}' -m tests.integration.exllama.fake_engine"
    program.write_text(f'#!/bin/sh\nexec env {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return directory
