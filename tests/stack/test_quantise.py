"""Recipes in the template: what a job may read and write, and that there is nothing without a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import (
    AgencyLock,
    LockedFile,
    LockedSource,
    ModelLock,
    QuantiseLock,
    QuantiseRecipe,
    QuantiseResult,
)
from tests.stack.conftest import DEFAULT, template_of
from tests.stack.security_exceptions import findings, report_of

RECIPE = """
quantise:
  - name: own-q4
    source: {hub: owner/whole, revision: v1}
    method: gguf
    type: Q4_K_M
    instance_type: ml.m5.4xlarge
"""
MODEL = """
  - name: own
    source: {hub: owner/whole, revision: v1, quantised: own-q4}
    engine: llama.cpp
    instance_type: ml.g4dn.xlarge
    context_length: 2048
    concurrency: 1
"""
MADE_AT = "quantised/own-q4/default-own-q4-20260101000000/files/"


def recipe_file(directory: Path, *, served: bool) -> Path:
    """The default agency with a recipe, and with its result and a model that serves it if `served`."""
    path = directory / DEFAULT.name
    path.write_text(DEFAULT.read_text() + (MODEL if served else "") + RECIPE)
    lock = AgencyLock.read(DEFAULT.with_suffix(".lock.json"))
    (some,) = lock.models.values()
    source = ModelLock(
        source=LockedSource(hub="owner/whole", revision="v1", files=[]),
        commit="c" * 40,
        files=[LockedFile(path="model.safetensors", size=10**9, sha256="d" * 64)],
        shape=some.shape.model_copy(update={"format": "safetensors", "quantization": "BF16"}),
    )
    result = QuantiseResult(
        prefix=MADE_AT,
        source_digest=source.digest,
        recipe=QuantiseRecipe(method="gguf", type="Q4_K_M"),
        tools={"llama.cpp": "b11549"},
        files=[LockedFile(path="own-q4-Q4_K_M.gguf", size=10**8, sha256="e" * 64)],
        shape=some.shape,
    )
    recipes = {"own-q4": QuantiseLock(source=source, result=result if served else None)}
    path.with_suffix(".lock.json").write_text(lock.model_copy(update={"quantise": recipes}).to_json())
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return template_of(recipe_file(tmp_path_factory.mktemp("recipe"), served=False))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return template_of(recipe_file(tmp_path_factory.mktemp("served"), served=True))


def statements_of(template: Template, role: str) -> list[dict[str, Any]]:
    """The statements of a role's policies, by the beginning of its logical id."""
    return [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        if any(one["Ref"].startswith(role) for one in policy["Properties"]["Roles"])
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def actions_on(statements: list[dict[str, Any]], text: str) -> set[str]:
    found = [one for one in statements if text in json.dumps(one["Resource"])]
    return {action for one in found for action in _listed(one["Action"])}


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_without_a_recipe_there_is_nothing_of_it(default_template: Template) -> None:
    text = json.dumps(default_template.to_json())
    assert "quantise" not in text.lower()
    assert "SourcePrefix" not in text


def test_job_reads_its_source_and_writes_its_own_folder_alone(template: Template) -> None:
    statements = statements_of(template, "Quantiseownq4Role")
    assert actions_on(statements, "/models/own-q4/*") == {"s3:GetObject"}
    assert actions_on(statements, "/quantised/own-q4/*") == {
        "s3:AbortMultipartUpload",
        "s3:GetObject",
        "s3:PutObject",
    }
    listing = [one for one in statements if one["Action"] == "s3:ListBucket"]
    prefixes = {one["Condition"]["StringLike"]["s3:prefix"] for one in listing}
    assert prefixes == {"models/own-q4/*", "quantised/own-q4/*"}
    actions = {action for one in statements for action in _listed(one["Action"])}
    assert not {action for action in actions if action.startswith(("s3:Delete", "secretsmanager:", "sts:"))}


def test_role_is_for_sagemaker_in_this_account(template: Template) -> None:
    (role,) = [
        role["Properties"]
        for name, role in template.find_resources("AWS::IAM::Role").items()
        if name.startswith("Quantiseownq4Role")
    ]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert "aws:SourceAccount" in trust["Condition"]["StringEquals"]


def test_source_is_brought_as_files_and_its_image_is_built_for_the_method(template: Template) -> None:
    (source,) = [
        artifact["Properties"]
        for artifact in template.find_resources("Custom::ModelArtifact").values()
        if artifact["Properties"]["Repository"] == "owner/whole"
    ]
    assert source["Key"].startswith("models/own-q4/")
    assert source["Key"].endswith("/files/")
    builds = template.find_resources("AWS::CodeBuild::Project").values()
    (build,) = [one for one in builds if "quantise" in one["Properties"]["Description"]]
    assert "--build-arg METHOD=gguf" in build["Properties"]["Source"]["BuildSpec"]


def test_outputs_tell_the_command_what_it_needs(template: Template) -> None:
    outputs = template.to_json()["Outputs"]
    assert {f"QuantiseOwnQ4{what}" for what in ("Role", "Image", "Source", "Key")} <= set(outputs)


def test_model_of_a_result_is_copied_from_where_the_job_left_it(served: Template) -> None:
    (artifact,) = [
        artifact["Properties"]
        for artifact in served.find_resources("Custom::ModelArtifact").values()
        if artifact["Properties"]["Key"].startswith("models/own/")
    ]
    assert artifact["SourcePrefix"] == MADE_AT
    assert artifact["Files"][0]["Sha256"] == "e" * 64
    assert actions_on(statements_of(served, "RepackFunction"), "/quantised/own-q4/*") == {"s3:GetObject"}


def test_repack_may_not_read_results_that_no_model_serves(template: Template) -> None:
    assert not actions_on(statements_of(template, "RepackFunction"), "/quantised/")


def test_no_security_finding_is_left_open_by_a_recipe(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, served=True)
    assert findings(report_of(path, tmp_path / "report")) == []
