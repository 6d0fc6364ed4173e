"""How the embedded AWS hosts endpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TOOLS = Path(__file__).parents[2]

NO_GPU = (
    "ExLlama needs an NVIDIA GPU, and the embedded AWS has none: "
    "deploy this model to AWS, or a GGUF of it with llama.cpp here"
)


@dataclass(frozen=True, kw_only=True)
class HostingSettings:
    """Settings of hosting; times are in seconds.

    `state_directory` receives models and scratch files of the containers. `client` gives a client of the
    embedded AWS by service, region and the ARN of the role in whose name it acts, or raises AccessRefused.
    `stop_seconds` lie between SIGTERM and SIGKILL (SageMaker: 30), `restart_seconds` before each new start of
    a container that died. A model may take `response_seconds` to answer whole (SageMaker: 60),
    `stream_seconds` to end a stream (SageMaker: 480).
    """

    state_directory: Path
    client: Callable[[str, str, str], Any]
    stop_seconds: float = 30
    restart_seconds: tuple[float, ...] = (1, 4)
    response_seconds: float = 60
    stream_seconds: float = 480

    @property
    def endpoints_directory(self) -> Path:
        """`<endpoint>/<instance>/model` below it is what a container sees as /opt/ml/model."""
        return self.state_directory / "endpoints"

    @property
    def programs_directory(self) -> Path:
        """The folder that stands first in a container's PATH."""
        return self.state_directory / "bin"

    def write_programs(self) -> None:
        """Write the engines that a container finds in its PATH."""
        write_programs(self.programs_directory)


def write_programs(directory: Path) -> None:
    """Write the engines that a container finds in its PATH: `llama-server`, and ExLlama's `python3`."""
    directory.mkdir(parents=True, exist_ok=True)
    llama_server = "quant_llm_tools.local_aws.llama_server"
    commands = {
        "llama-server": f"PYTHONPATH='{_TOOLS}' exec '{sys.executable}' -m {llama_server} \"$@\"",
        "python3": f"echo '{NO_GPU}'\nexit 4",
    }
    for name, text in commands.items():
        program = directory / name
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        program.chmod(0o755)
