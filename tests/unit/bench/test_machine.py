"""What `nvidia-smi` says of this machine's GPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quant_llm_tools.bench.machine import Gpus, gpu_memory_used_mib, gpus, load_generator

SCRIPT = """#!/bin/sh
case "$1" in
  --query-gpu=name,memory.total,driver_version) for _ in 0 1; do echo 'NVIDIA A10G, 23028, 580.95'; done ;;
  --query-gpu=memory.used) printf '1000\\n234\\n' ;;
  *) exit 2 ;;
esac
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    program.write_text(SCRIPT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.mark.usefixtures("nvidia_smi")
def test_memory_is_that_of_all_gpus() -> None:
    assert gpus() == Gpus("NVIDIA A10G", 2, 46056.0, "580.95")
    assert gpu_memory_used_mib() == 1234.0


def test_a_program_that_fails_leaves_it_unknown(nvidia_smi: Path) -> None:
    nvidia_smi.write_text("#!/bin/sh\necho no devices were found\nexit 6\n")
    assert gpus() is None
    assert gpu_memory_used_mib() is None


def test_without_the_program_it_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() is None


def test_the_load_generator_is_told_with_its_processors_and_python() -> None:
    assert load_generator().startswith(f"{os.cpu_count()} x ")
    assert "Python 3." in load_generator()
