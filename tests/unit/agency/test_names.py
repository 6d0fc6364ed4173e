"""Forms of names, against the rules of those who own them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quant_llm.agency import AgencyConfig, forms
from quant_llm.agency.aws_names import hosting_instance_types, regions
from quant_llm.agency.problems import nearest

# EndpointName in SageMaker's API model.
SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def agency(name: str, model: str) -> AgencyConfig:
    return AgencyConfig.model_validate(
        {
            "agency": name,
            "environment": {"account": "123456789012", "region": "us-east-1"},
            "models": [
                {
                    "name": model,
                    "source": {"hub": "owner/name"},
                    "engine": "llama.cpp",
                    "instance_type": "ml.g4dn.xlarge",
                    "context_length": 2048,
                    "concurrency": 1,
                }
            ],
        }
    )


@settings(deadline=None)  # the first one reads botocore's data
@given(
    name=st.text(alphabet="ab0-A_.é", max_size=40),
    model=st.text(alphabet="ab0-A_.é", min_size=1, max_size=40),
)
def test_names_are_taken_exactly_when_sagemaker_takes_the_endpoints_in_lower_case(
    name: str, model: str
) -> None:
    endpoint = f"{name}-{model}"
    parts_stand_alone = all(part == part.lower() and SAGEMAKER_NAME.fullmatch(part) for part in (name, model))
    wanted = parts_stand_alone and len(endpoint) <= 63 and SAGEMAKER_NAME.fullmatch(endpoint) is not None
    try:
        config = agency(name, model)
    except ValidationError:
        assert not wanted
    else:
        assert wanted
        assert config.endpoint_name(config.models[0]) == endpoint


@given(st.text())
def test_a_name_that_is_suggested_is_a_good_one(text: str) -> None:
    suggested = forms.NAME.mend(text)
    assert not suggested or forms.NAME.fits(suggested)


@pytest.mark.parametrize(
    ("form", "text", "fits"),
    [
        (forms.REPOSITORY, "TheBloke/Mistral-7B-Instruct-v0.2-GGUF", True),
        (forms.REPOSITORY, "owner", False),
        (forms.REPOSITORY, "owner/a--b", False),
        (forms.REPOSITORY, "owner/-b", False),
        (forms.REPOSITORY, "owner/" + "b" * 91, False),
        (forms.REPOSITORY, "owner/name/more", False),
        (forms.REVISION, "ab810cf68114990406fdf996510dd3d3c6adbdf5", True),
        (forms.REVISION, "refs/pr/1", True),
        (forms.REVISION, "v0.2", True),
        (forms.REVISION, "-x", False),
        (forms.REVISION, "a b", False),
        (forms.REVISION, "branch/", False),
        (forms.REVISION, "branch.lock", False),
        (forms.FILE_PATTERN, "*Q4_K_M.gguf", True),
        (forms.FILE_PATTERN, "sub folder/[ab]*.gguf", True),
        (forms.FILE_PATTERN, "/etc/passwd", False),
        (forms.FILE_PATTERN, "a/../b", False),
        (forms.FILE_PATTERN, "a\\b", False),
        (forms.SECRET_NAME, "prod/hf-token", True),
        (forms.SECRET_NAME, "two words", False),
        (forms.BOUNDARY_ARN, "arn:aws:iam::aws:policy/PowerUserAccess", True),
        (forms.BOUNDARY_ARN, "arn:aws-us-gov:iam::123456789012:policy/path/Boundary", True),
        (forms.BOUNDARY_ARN, "arn:aws:iam:us-east-1:123456789012:policy/Boundary", False),
        (forms.ECR_IMAGE, "123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:v1.0", True),
        (forms.ECR_IMAGE, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a@sha256:" + "0" * 64, True),
        (forms.ECR_IMAGE, "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:v1@sha256:" + "0" * 64, False),
        (forms.ECR_IMAGE, "123456789012.dkr.ecr.us-east-1.amazonaws.com/a@sha256:0", False),
        (forms.ECR_IMAGE, "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:latest-2", True),
        (forms.ECR_IMAGE, "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:latest", False),
        (forms.ECR_IMAGE, "ghcr.io/ggml-org/llama.cpp:server-cuda", False),
        (forms.VPC_ID, "vpc-0a1b2c3d4e5f60718", True),
        (forms.VPC_ID, "vpc-0a1b2c3d4", False),
        (forms.EMAIL, "a.b+c@x.example", True),
        (forms.EMAIL, "mailto:a@x.example", False),
        (forms.EMAIL, "a@localhost", False),
        (forms.ACCOUNT, "１２３４５６７８９０１２", False),  # noqa: RUF001 - digits of another script
    ],
)
def test_forms(form: forms.Form, text: str, *, fits: bool) -> None:
    assert form.fits(text) is fits


def test_regions_know_their_partition() -> None:
    partitions = {name: regions()[name].id for name in ("us-east-1", "us-gov-west-1", "cn-north-1")}
    assert partitions == {"us-east-1": "aws", "us-gov-west-1": "aws-us-gov", "cn-north-1": "aws-cn"}
    assert "aws-global" not in regions()


def test_instance_types_are_those_of_hosting() -> None:
    assert {"ml.g4dn.xlarge", "ml.g5.12xlarge", "ml.p5.48xlarge"} <= set(hosting_instance_types())


@pytest.mark.parametrize(
    ("value", "meant"),
    [("us-esat-1", "us-east-1"), ("US-EAST-1", "us-east-1"), ("eu-wset-1", "eu-west-1"), ("moon", None)],
)
def test_the_nearest_region(value: str, meant: str | None) -> None:
    assert nearest(value, regions()) == meant
