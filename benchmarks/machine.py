"""What a number was measured on: without it, it says nothing."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("boto3", "botocore", "urllib3")


def machine(programs: Iterable[str]) -> dict[str, str]:
    """Date, processor, memory, load, and the versions of Python, its libraries and some `programs`."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gib():.0f} GiB, {platform.platform()}",
        "load": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": f"{platform.python_version()}, zlib {zlib.ZLIB_RUNTIME_VERSION}",
        **{package: version(package) for package in _PACKAGES},
        **{program: _program_version(program) for program in programs},
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _memory_gib() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))


def _program_version(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        return "not installed"
    arguments = [] if program == "busybox" else ["--version"]
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    return (done.stdout or done.stderr).partition("\n")[0]
