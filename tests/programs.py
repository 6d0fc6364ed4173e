"""Programs of the system that some tests run."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> None:
    """Skip the test where the program is missing; with CI=true fail, for .ci/packages.txt should have it."""
    if shutil.which(program):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not installed, and CI skips no test: see .ci/packages.txt")
    pytest.skip(f"{program} is not installed")
