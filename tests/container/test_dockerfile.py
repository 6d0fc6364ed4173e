"""The image's recipe, as far as it can be checked without building it."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.container.process import ROOT

CONTEXT = ROOT / "container"
DOCKERFILES = sorted(CONTEXT.glob("*/Dockerfile"))
QUANTISE = CONTEXT / "quantise" / "Dockerfile"
ENGINES = [dockerfile for dockerfile in DOCKERFILES if dockerfile != QUANTISE]


def last(dockerfile: Path, instruction: str) -> str:
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    return next(line for line in reversed(lines) if line.startswith(instruction))[len(instruction) :].strip()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    finished = subprocess.run(["hadolint", str(dockerfile)], capture_output=True, text=True, timeout=30)
    assert (finished.returncode, finished.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", ENGINES, ids=lambda path: path.parent.name)
def test_sagemaker_can_append_serve_and_choose_the_port(dockerfile: Path) -> None:
    entrypoint = json.loads(last(dockerfile, "ENTRYPOINT"))  # in the shell form, `serve` would be dropped
    assert entrypoint[:3] == ["python3", "-m", "quant_llm_serving"]
    assert last(dockerfile, "EXPOSE") == "8080"
    assert "com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true" in dockerfile.read_text()


def test_a_processing_job_can_append_its_arguments_to_the_entrypoint() -> None:
    assert json.loads(last(QUANTISE, "ENTRYPOINT")) == ["python3", "-m", "quant_llm_quantise"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_image_does_not_run_as_root(dockerfile: Path) -> None:
    assert last(dockerfile, "USER").isdigit()
    assert last(dockerfile, "USER") != "0"


@pytest.mark.parametrize("package", ["httptools", "uvloop"])
def test_the_image_has_the_versions_that_these_tests_ran_on(package: str) -> None:
    requirements = (CONTEXT / "sagemaker" / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.search(rf"^{package}==(\S+)", requirements, re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == version(package)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_build_context_is_what_the_image_takes_and_no_more(dockerfile: Path) -> None:
    lines = dockerfile.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "**"  # all, but for the exceptions that follow
    kept = {rule[1:].removesuffix("/**") for rule in rules if rule.startswith("!")}
    text = dockerfile.read_text(encoding="utf-8")
    copied = re.findall(r"^COPY ((?!--).+) \S+$", text, re.MULTILINE)
    used = [*" ".join(copied).split(), *re.findall(r"type=bind,source=([^,]+),", text)]
    assert kept == {*used, dockerfile.relative_to(CONTEXT).as_posix()}
    for path in kept:
        assert list(CONTEXT.glob(path)), path


def test_libraries_are_of_the_cuda_that_the_image_is_built_with() -> None:
    base = re.search(r"cuda:(\d+\.\d+)", (CONTEXT / "exllamav2" / "Dockerfile").read_text(encoding="utf-8"))
    locked = (CONTEXT / "exllamav2" / "requirements-cuda.txt").read_text(encoding="utf-8")
    runtime = re.search(r"^nvidia-cuda-runtime-cu12==(\d+\.\d+)", locked, re.MULTILINE)
    assert base is not None
    assert runtime is not None
    assert base[1] == runtime[1]


@pytest.mark.parametrize("requirements", sorted(CONTEXT.glob("*/requirements*.txt")), ids=str)
def test_every_requirement_is_pinned_by_hash(requirements: Path) -> None:
    text = requirements.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
