"""What a number was measured on: GPU, driver, CUDA, engines, date."""

from __future__ import annotations

import datetime
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pynvml
import torch

_PACKAGES = (
    "torch",
    "transformers",
    "exllamav2",
    "exllamav3",
    "bitsandbytes",
    "llguidance",
    "tokenizers",
    "httptools",
    "uvloop",
)


def gpu_machine() -> dict[str, Any]:
    """The versions of everything that a number of this folder depends on."""
    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    memory = pynvml.nvmlDeviceGetMemoryInfo(device, version=pynvml.nvmlMemory_v2)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "gpu": pynvml.nvmlDeviceGetName(device),
        "gpu_mib": memory.total >> 20,
        "of_that_reserved_by_the_driver_mib": memory.reserved >> 20,
        "compute_capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "cuda": _last_line("nvcc", "--version"),
        "llama.cpp": _last_line("llama-server", "--version"),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _last_line(program: str, option: str) -> str:
    path = shutil.which(program)
    if path is None:
        return "not installed"
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)  # noqa: S603
    lines = [
        line for line in (done.stdout + done.stderr).splitlines() if "version" in line or "release" in line
    ]
    return lines[-1].strip() if lines else ""
