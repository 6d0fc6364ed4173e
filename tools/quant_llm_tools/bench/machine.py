"""The machine that makes the load, and a GPU of it if the engine runs here, too."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 10.0


def load_generator() -> str:
    """Processors, system and Python, in one line."""
    return f"{os.cpu_count()} x {_processor()}, {platform.platform()}, Python {platform.python_version()}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


@dataclass(frozen=True)
class Gpus:
    """The NVIDIA GPUs of this machine, and their driver; memory in MiB, of all together."""

    model: str
    count: int
    memory_mib: float
    driver: str


def gpus() -> Gpus | None:
    """What `nvidia-smi` says; None without it."""
    rows = _nvidia_smi(("name", "memory.total", "driver_version"))
    if not rows:
        return None
    name, _, driver = rows[0]
    return Gpus(name, len(rows), sum(float(row[1]) for row in rows), driver)


def gpu_memory_used_mib() -> float | None:
    """MiB that all programs together have taken of this machine's GPUs; None without `nvidia-smi`."""
    rows = _nvidia_smi(("memory.used",))
    return sum(float(row[0]) for row in rows) if rows else None


def _nvidia_smi(fields: Sequence[str]) -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    done = subprocess.run(  # noqa: S603 - fixed words
        [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    return [line.split(", ") for line in done.stdout.splitlines()] if done.returncode == 0 else []
