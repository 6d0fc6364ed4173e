"""The image of an engine in the template: its repository, its build, and what waits for it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from quant_llm.errors import QuantLlmError
from tests.stack.conftest import DEFAULT, FIXTURES, make_stack, template_of

EXL2 = """\
agency: exl2
environment: {account: "123456789012", region: us-east-1}
models:
  - name: codellama-34b
    source:
      hub: LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2
      revision: main
      token_secret: hf-token
    engine: exllamav2
    instance_type: ml.g5.12xlarge
    context_length: 4096
    concurrency: 2
    scaling: {min: 1, max: 2}
"""


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def conditions(template: Template) -> dict[str, dict[str, Any]]:
    """The wait conditions of image builds, by logical id."""
    found = template.find_resources("AWS::CloudFormation::WaitCondition")
    return {name: dict(condition) for name, condition in found.items() if "Image" in name}


def test_repository_is_immutable_scanned_and_encrypted(default_template: Template) -> None:
    default_template.has_resource_properties(
        "AWS::ECR::Repository",
        {
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {"EncryptionType": "KMS", "KmsKey": Match.any_value()},
        },
    )


def test_build_and_custom_resource_name_the_same_tag(default_template: Template) -> None:
    variables = {
        variable["Name"]: variable["Value"]
        for variable in only(default_template, "AWS::CodeBuild::Project")["Environment"][
            "EnvironmentVariables"
        ]
    }
    assert variables["DOCKERFILE"] == "llamacpp/Dockerfile"
    assert variables["IMAGE_TAG"] == only(default_template, "Custom::EngineImage")["Tag"]


def test_model_runs_the_image_by_the_digest_that_was_built(default_template: Template) -> None:
    (pushed_id,) = conditions(default_template)
    ((digest_id, digest),) = default_template.find_resources("Custom::EngineImageDigest").items()
    container = only(default_template, "AWS::SageMaker::Model")["PrimaryContainer"]
    assert container["Image"] == {"Fn::GetAtt": [digest_id, "ImageUri"]}
    assert pushed_id in digest["DependsOn"]
    assert digest["Properties"]["Tag"] == only(default_template, "Custom::EngineImage")["Tag"]


def test_build_may_take_longer_than_the_hour_of_a_custom_resource(default_template: Template) -> None:
    ((pushed_id, pushed),) = conditions(default_template).items()
    started = only(default_template, "Custom::EngineImage")
    assert pushed["Properties"]["Timeout"] == "43200"
    assert pushed["Properties"]["Handle"] == started["WaitHandle"]
    assert started["Tag"][:16] in pushed_id  # another image is waited for anew
    assert only(default_template, "AWS::CodeBuild::Project")["TimeoutInMinutes"] == 480


def test_platform_engineer_sets_compute_size_and_base_images(default_template: Template) -> None:
    base = "public.ecr.aws/docker/library/ubuntu@sha256:" + "0f" * 32
    settings = {
        "compute": "BUILD_GENERAL1_2XLARGE",
        "arguments": {"llama.cpp": {"BASE_IMAGE": base, "CUDA_ARCHITECTURES": "75-real;it's"}},
    }
    template = template_of(DEFAULT, image_builds=settings)
    project = only(template, "AWS::CodeBuild::Project")
    assert project["Environment"]["ComputeType"] == "BUILD_GENERAL1_2XLARGE"
    commands = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    words = shlex.split(commands[0])
    assert f"BASE_IMAGE={base}" in words
    assert "CUDA_ARCHITECTURES=75-real;it's" in words
    tags = [only(made, "Custom::EngineImage")["Tag"] for made in (default_template, template)]
    assert tags[0] != tags[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compute": "HUGE"}, "image_builds.compute must be one of BUILD_GENERAL1_SMALL"),
        ({"computes": "x"}, "image_builds has no 'computes', did you mean compute"),
        ({"arguments": {"lama.cpp": {}}}, "image_builds.arguments has no 'lama.cpp', did you mean llama.cpp"),
        (
            {"arguments": {"llama.cpp": {"BASE_IMAG": "x"}}},
            "image_builds.arguments.llama.cpp has no 'BASE_IMAG', did you mean BASE_IMAGE",
        ),
        ({"arguments": {"llama.cpp": {"CUDA": True}}}, "llama.cpp.CUDA must be text, got True"),
        ("BUILD_GENERAL1_LARGE", "image_builds must be an object, got 'BUILD_GENERAL1_LARGE'"),
    ],
)
def test_wrong_image_settings_are_refused(settings: object, message: str) -> None:
    with pytest.raises(QuantLlmError, match=re.escape(message)):
        make_stack(DEFAULT, image_builds=settings)


def context_files(stack: cdk.Stack, folder: str) -> set[str]:
    """The files of the build context that has `folder`."""
    app = stack.node.root
    assert isinstance(app, cdk.App)
    assets = Path(app.synth().directory).glob("asset.*")
    (asset,) = (asset for asset in assets if (asset / folder).is_dir())
    return {path.relative_to(asset).as_posix() for path in asset.rglob("*") if path.is_file()}


def test_tag_is_of_the_files_that_go_into_the_image() -> None:
    files = context_files(make_stack(DEFAULT), "llamacpp")
    outside = {name for name in files if not name.startswith("sagemaker/quant_llm_serving/")}
    assert outside == {
        "llamacpp/Dockerfile",
        "llamacpp/NOTICE",
        "llamacpp/components.json",
        "llamacpp/take_source.sh",
        "sagemaker/describe_image.py",
        "sagemaker/requirements.txt",
    }
    assert files - outside
    assert not any("__pycache__" in name for name in files)


def test_every_end_of_a_build_is_answered(default_template: Template) -> None:
    default_template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": {
                "detail": {"build-status": ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"]}
            }
        },
    )


def test_build_starts_after_its_permissions_exist(default_template: Template) -> None:
    (image,) = default_template.find_resources("Custom::EngineImage").values()
    policies = [
        logical_id
        for logical_id, policy in default_template.find_resources("AWS::IAM::Policy").items()
        if "Imagellamacpp" in logical_id
    ]
    event = [
        logical_id
        for kind in ("AWS::Events::Rule", "AWS::Lambda::Permission")
        for logical_id in default_template.find_resources(kind)
        if logical_id.startswith("Imagellamacpp")
    ]
    assert policies
    assert event
    assert set(policies + event) <= set(image["DependsOn"])


@pytest.fixture
def exl2(tmp_path: Path) -> Path:
    """An agency that has CodeLlama 34B in EXL2 and nothing else."""
    path = tmp_path / "exl2.yaml"
    path.write_text(EXL2)
    lock = json.loads((FIXTURES / "health.lock.json").read_text())
    lock["agency"] = "exl2"
    lock["models"] = {"codellama-34b": lock["models"]["codellama-34b"]}
    path.with_name("exl2.lock.json").write_text(json.dumps(lock))
    return path


def test_exl2_model_gets_the_image_of_exllamav2(exl2: Path) -> None:
    stack = make_stack(exl2)
    template = Template.from_stack(stack)
    project = only(template, "AWS::CodeBuild::Project")
    variables = {entry["Name"]: entry["Value"] for entry in project["Environment"]["EnvironmentVariables"]}
    assert variables["DOCKERFILE"] == "exllamav2/Dockerfile"
    assert only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"] == {
        "MODEL": ".",
        "EXLLAMA_CONTEXT_LENGTH": "4096",
        "EXLLAMA_MAX_BATCH_SIZE": "2",
    }
    files = context_files(stack, "exllamav2")
    assert "exllamav2/quant_llm_exllama/__main__.py" in files
    assert "exllamav2/requirements-cuda.txt" in files
    assert not any(name.startswith("llamacpp/") for name in files)


def test_engine_that_changes_gives_the_other_engines_image_no_new_tag(
    default_template: Template, exl2: Path
) -> None:
    both = exl2.read_text() + DEFAULT.read_text().partition("models:\n")[2]
    exl2.write_text(both)
    lock_file = exl2.with_name("exl2.lock.json")
    lock = json.loads(lock_file.read_text())
    lock["models"] |= json.loads(DEFAULT.with_name("default.lock.json").read_text())["models"]
    lock_file.write_text(json.dumps(lock))
    template = template_of(exl2)
    tags = [found["Properties"]["Tag"] for found in template.find_resources("Custom::EngineImage").values()]
    assert len(set(tags)) == 2
    assert only(default_template, "Custom::EngineImage")["Tag"] in tags


def test_existing_image_builds_nothing_and_may_be_pulled_from_its_repository_only(
    justice_template: Template,
) -> None:
    for kind in ("AWS::ECR::Repository", "AWS::CodeBuild::Project", "Custom::EngineImage"):
        justice_template.resource_count_is(kind, 0)
    assert not conditions(justice_template)
    pulls = [
        statement["Resource"]
        for policy in justice_template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    assert [json.dumps(resource) for resource in pulls] == [
        '{"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, '
        '":ecr:us-gov-west-1:345678901234:repository/approved/llama-cpp"]]}'
    ]
