"""What the benchmarks of the container were measured on."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

from benchmarks.machine import machine

_SHOWN = ("date", "machine", "load", "python")


def print_serving_machine() -> None:
    """Print date, machine, load, and the versions of what serves."""
    all_facts = machine(())
    facts = {name: all_facts[name] for name in _SHOWN}
    for package in ("uvloop", "httptools"):
        facts[package] = version(package)
    facts["nginx"] = "not installed"
    if path := shutil.which("nginx"):
        told = subprocess.run([path, "-v"], capture_output=True, text=True, check=True)  # noqa: S603
        facts["nginx"] = told.stderr.strip()
    for name, text in facts.items():
        print(f"{name:10} {text}")
