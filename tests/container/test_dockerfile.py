"""The image's recipe, as far as it can be checked without building it."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.container.container import ROOT

CONTEXT = ROOT / "container"
DOCKERFILES = sorted(CONTEXT.glob("*/Dockerfile"))


def last(dockerfile: Path, instruction: str) -> str:
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    return next(line for line in reversed(lines) if line.startswith(instruction))[len(instruction) :].strip()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    finished = subprocess.run(["hadolint", str(dockerfile)], capture_output=True, text=True, timeout=30)
    assert (finished.returncode, finished.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_sagemaker_can_append_serve_and_choose_the_port(dockerfile: Path) -> None:
    entrypoint = json.loads(last(dockerfile, "ENTRYPOINT"))  # in the shell form, `serve` would be dropped
    assert entrypoint[:3] == ["python3", "-m", "quant_llm_serving"]
    assert last(dockerfile, "EXPOSE") == "8080"
    assert "com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true" in dockerfile.read_text()
    assert last(dockerfile, "USER").isdigit()
    assert last(dockerfile, "USER") != "0"


@pytest.mark.parametrize("package", ["httptools", "uvloop"])
def test_the_image_has_the_versions_that_these_tests_ran_on(package: str) -> None:
    requirements = (CONTEXT / "sagemaker" / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.search(rf"^{package}==(\S+)", requirements, re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == version(package)


def test_the_build_context_leaves_out_what_the_image_does_not_need() -> None:
    ignored = (CONTEXT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "**"  # all, but for the exceptions that follow
    copied = re.findall(r"^COPY (sagemaker\S*)", DOCKERFILES[0].read_text(encoding="utf-8"), re.MULTILINE)
    for path in copied:
        assert any(line.startswith(f"!{path.rstrip('/')}") for line in ignored), path
