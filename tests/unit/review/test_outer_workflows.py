"""The CI files: what runs a pull request's code has no rights, and what has rights runs none of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from quant_llm.paths import ROOT
from quant_llm_tools.review.forge.artifact import ARTIFACT, DOCUMENT
from quant_llm_tools.review.gate import parse_classes

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
REVIEW, COMMENT = (ROOT / ".github" / "workflows" / name for name in ("review.yml", "review-comment.yml"))
GITLAB = ROOT / ".gitlab" / "review.gitlab-ci.yml"


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def steps(path: Path) -> list[Any]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit_with_its_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_of_an_event_is_pasted_into_a_script(path: Path) -> None:
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]
    assert all(
        step["with"]["persist-credentials"] is False
        for step in steps(path)
        if step.get("uses", "").startswith("actions/checkout@")
    )


def test_what_runs_the_pull_requests_code_can_only_read() -> None:
    workflow = read(REVIEW)
    assert set(workflow["on"]) == {"pull_request", "workflow_call"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in REVIEW.read_text()
    assert all("permissions" not in job for job in workflow["jobs"].values())


def test_what_can_write_runs_the_default_branchs_code_alone() -> None:
    workflow = read(COMMENT)
    assert workflow["permissions"] == {}
    assert set(workflow["on"]) == {"workflow_run", "workflow_call"}
    assert workflow["on"]["workflow_run"]["workflows"] == [read(REVIEW)["name"]]
    (checkout,) = (step for step in steps(COMMENT) if "uses" in step)
    assert set(checkout["with"]) == {"persist-credentials"}
    assert workflow["jobs"]["comment"]["permissions"] == {
        "contents": "read",
        "actions": "read",
        "pull-requests": "write",
    }


def test_both_sides_call_the_artifact_the_same() -> None:
    (upload,) = (step for step in steps(REVIEW) if "upload-artifact" in step.get("uses", ""))
    assert (upload["with"]["name"], upload["with"]["path"]) == (ARTIFACT, DOCUMENT)
    job = read(GITLAB)[ARTIFACT]
    assert job["artifacts"]["paths"] == [DOCUMENT]
    assert job["artifacts"]["when"] == "always"


def test_gitlab_posts_from_protected_schedules_alone() -> None:
    jobs = read(GITLAB)
    assert jobs["quantllm-review"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}]
    (rule,) = jobs["quantllm-review-comment"]["rules"]
    assert rule == {"if": '$CI_PIPELINE_SOURCE == "schedule" && $CI_COMMIT_REF_PROTECTED == "true"'}
    assert "GITLAB_TOKEN" not in str(jobs["quantllm-review"])


def test_the_classes_that_fail_the_check_are_classes_and_the_same_everywhere() -> None:
    default = read(REVIEW)["on"]["workflow_call"]["inputs"]["fail-on"]["default"]
    assert parse_classes([default])
    assert f"'{default}'" in REVIEW.read_text()
    assert read(GITLAB)["variables"]["QUANTLLM_FAIL_ON"] == default
