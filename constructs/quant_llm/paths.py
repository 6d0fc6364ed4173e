"""Where the app's own files lie; assets are found from here, whatever the working directory is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "container"
LAMBDAS = ROOT / "lambdas"

# What editors, interpreters and linters leave behind must not change an asset's hash.
LEFTOVERS = ["**/__pycache__", "**/*.pyc", "**/.DS_Store", "**/.mypy_cache", "**/.ruff_cache"]
