"""The image's recipe against what is in the repository: nothing here builds it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quant_llm.engines import BUILDS, JOB_BUILDS
from quant_llm.paths import CONTAINER
from quant_llm_quantise.job import LLAMA_CPP_VERSION, METHOD
from quant_llm_quantise.request import METHODS

FOLDER = CONTAINER / "quantise"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
LLAMA_CPP = BUILDS["llama.cpp"].dockerfile.read_text()


def sources() -> list[str]:
    """What the Dockerfile takes of its context."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    mounted = re.findall(r"type=bind,source=([^,]+),", DOCKERFILE)
    return [word for line in copied for word in line.split()] + mounted


@pytest.mark.parametrize("source", sources())
def test_a_source_of_the_image_is_missing_or_left_out_of_its_context(source: str) -> None:
    assert (CONTAINER / source).exists()
    let_through = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}", f"!{source}/**"} & set(let_through)


def test_a_file_that_changes_the_tag_is_in_no_image() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    names = {line[1:].removesuffix("/**") for line in lines if line.startswith("!")}
    assert names == {*sources(), "quantise/Dockerfile"}


@pytest.mark.parametrize("name", ["LLAMA_CPP_REF", "LLAMA_CPP_SHA256"])
def test_the_tools_are_of_another_llama_cpp_than_the_server(name: str) -> None:
    def pin(text: str) -> str:
        found = re.search(rf"^ARG {name}=(\S+)$", text, re.MULTILINE)
        assert found is not None
        return found[1]

    assert pin(DOCKERFILE) == pin(LLAMA_CPP)


def test_the_compilers_of_both_images_are_installed_twice() -> None:
    def first_layer(text: str) -> str:
        found = re.search(r"^FROM \S+ AS build$.*?^(RUN .*?[^\\])$", text, re.MULTILINE | re.DOTALL)
        assert found is not None
        return found[1]

    assert first_layer(DOCKERFILE) == first_layer(BUILDS["exllamav2"].dockerfile.read_text())


@pytest.mark.parametrize("name", ["gguf", "gptq", "gptq-build"])
def test_a_package_has_no_hash(name: str) -> None:
    text = (FOLDER / f"requirements-{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


@pytest.mark.parametrize("package", ["torch", "exllamav2"])
def test_gptq_is_measured_by_another_engine_than_the_one_that_serves(package: str) -> None:
    def pin(path: Path) -> str:
        found = re.search(rf"^{package}==(\S+)", path.read_text(), re.MULTILINE)
        assert found is not None
        return found[1]

    assert pin(FOLDER / "requirements-gptq.txt") == pin(CONTAINER / "exllamav2" / "requirements-cuda.txt")


def test_the_job_reads_variables_that_the_image_does_not_set() -> None:
    for name in (METHOD, LLAMA_CPP_VERSION):
        assert re.search(rf"^    {name}=\$\{{\w+\}}", DOCKERFILE, re.MULTILINE), name


def test_every_method_has_an_image_that_is_built_for_it() -> None:
    assert set(JOB_BUILDS) == set(METHODS)
    for method, build in JOB_BUILDS.items():
        assert build.arguments == {"METHOD": method}
        assert set(build.arguments) <= build.known_arguments


def test_a_component_names_a_build_argument_that_is_not_there() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", (FOLDER / "components.json").read_text()))
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert used <= set(re.findall(r"^ARG (\w+)", last_stage, re.MULTILINE))
    assert json.loads((FOLDER / "components.json").read_text())["packages"]


def test_the_image_runs_as_root() -> None:
    assert re.search(r"^USER 990$", DOCKERFILE, re.MULTILINE)
    assert Path(FOLDER / "NOTICE").read_text().startswith("An image for EXL2 or GPTQ")
