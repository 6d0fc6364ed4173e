"""vLLM and TGI: AWS's container of the region, what it is told, and the permission to pull it and no other.

The containers themselves are in AWS's registries and run on GPUs: they are not run in these tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import AgencyFileError, AgencyLock, Engine, ModelLock
from quant_llm.catalogue.engine_options import RESERVED, load_engine_options
from tests.stack.conftest import FIXTURES, make_stack, template_of

AWQ = AgencyLock.read(FIXTURES / "health.lock.json").models["llama3-70b-awq"]
FILE = """\
agency: default
environment: {{account: "123456789012", region: {region}}}
models:
  - name: llama
    source: {{hub: casperhansen/llama-3-70b-instruct-awq}}
    engine: {engine}
    instance_type: {instance_type}
    artifact: s3-prefix
    context_length: 4096
    concurrency: 8
"""
Make = Callable[..., Path]


def lock_in(quantization: str) -> ModelLock:
    """The 70B lock as of other weights: the same shape, whatever their size."""
    return AWQ.model_copy(update={"shape": AWQ.shape.model_copy(update={"quantization": quantization})})


@pytest.fixture
def agency_file(tmp_path: Path) -> Make:
    """Writes an agency of one model with its lock."""

    def make(
        engine: Engine,
        region: str = "us-east-1",
        *,
        instance_type: str = "ml.g5.12xlarge",
        quantization: str = "AWQ-4bit",
        more: str = "",
    ) -> Path:
        path = tmp_path / "default.yaml"
        path.write_text(FILE.format(engine=engine, region=region, instance_type=instance_type) + more)
        lock = AgencyLock(agency="default", models={"llama": lock_in(quantization)})
        (tmp_path / "default.lock.json").write_text(lock.to_json())
        return path

    return make


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = template.find_resources(kind).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


def container(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = only(template, "AWS::SageMaker::Model")["PrimaryContainer"]
    return found


def pulls(template: Template) -> list[dict[str, Any]]:
    return [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "ecr:" in json.dumps(statement["Action"])
    ]


REGISTRIES = {
    "us-east-1": ("763104351884", "amazonaws.com"),
    "us-gov-west-1": ("442386744353", "amazonaws.com"),
    "cn-north-1": ("727897471807", "amazonaws.com.cn"),
}
IMAGES: Mapping[Engine, tuple[str, str]] = {
    "vllm": ("djl-inference", "0.36.0-lmi27.0.0-cu130"),
    "tgi": ("huggingface-pytorch-tgi-inference", "2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04"),
}


@pytest.mark.parametrize("region", REGISTRIES)
@pytest.mark.parametrize("engine", IMAGES)
def test_the_container_is_aws_own_and_nothing_else_may_be_pulled(
    engine: Engine, region: str, agency_file: Make
) -> None:
    instance_type = "ml.g6.12xlarge" if region == "us-gov-west-1" else "ml.g5.12xlarge"
    template = template_of(agency_file(engine, region, instance_type=instance_type))
    (account, domain), (repository, tag) = REGISTRIES[region], IMAGES[engine]
    assert container(template)["Image"] == f"{account}.dkr.ecr.{region}.{domain}/{repository}:{tag}"
    for kind in ("AWS::ECR::Repository", "AWS::CodeBuild::Project", "Custom::EngineImage"):
        template.resource_count_is(kind, 0)
    pull, token = sorted(pulls(template), key=lambda statement: isinstance(statement["Action"], str))
    assert set(pull["Action"]) == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    }
    assert pull["Resource"] == {
        "Fn::Join": [
            "",
            ["arn:", {"Ref": "AWS::Partition"}, f":ecr:{region}:{account}:repository/{repository}"],
        ]
    }
    assert (token["Action"], token["Resource"]) == ("ecr:GetAuthorizationToken", "*")


def test_vllm_is_told_the_sizes_of_the_file(agency_file: Make) -> None:
    template = template_of(agency_file("vllm"))
    assert container(template)["Environment"] == {
        "HF_MODEL_ID": "/opt/ml/model",
        "HF_HUB_OFFLINE": "1",
        "TENSOR_PARALLEL_DEGREE": "4",
        "OPTION_MAX_MODEL_LEN": "4096",
        "OPTION_MAX_ROLLING_BATCH_SIZE": "8",
        "OPTION_GPU_MEMORY_UTILIZATION": "0.90",
        "OPTION_MODEL_LOADING_TIMEOUT": "3600",
    }
    assert only(template, "AWS::SageMaker::Model")["EnableNetworkIsolation"] is True
    source = container(template)["ModelDataSource"]["S3DataSource"]
    assert (source["S3DataType"], source["CompressionType"]) == ("S3Prefix", "None")


def test_vllm_is_given_the_time_that_sagemaker_gives_an_asynchronous_answer(agency_file: Make) -> None:
    template = template_of(agency_file("vllm", more="    mode: async\n"))
    assert container(template)["Environment"]["SERVING_CHUNKED_READ_TIMEOUT"] == "3600"


@pytest.mark.parametrize(("quantization", "dtype"), [("AWQ-4bit", {}), ("BF16", {"DTYPE": "bfloat16"})])
def test_tgi_is_told_the_sizes_of_the_file_and_the_type_of_plain_weights(
    quantization: str, dtype: dict[str, str], agency_file: Make
) -> None:
    template = template_of(agency_file("tgi", quantization=quantization))
    assert container(template)["Environment"] == {
        "HF_MODEL_ID": "/opt/ml/model",
        "HF_HUB_OFFLINE": "1",
        "SM_NUM_GPUS": "4",
        **dtype,
        "MAX_TOTAL_TOKENS": "4096",
        "MAX_INPUT_TOKENS": "4095",
        "MAX_BATCH_SIZE": "8",
        "MAX_CONCURRENT_REQUESTS": "1000",
        "USAGE_STATS": "off",
    }


@pytest.mark.parametrize(
    ("engine", "ami"),
    [
        ("vllm", "al2023-ami-sagemaker-inference-gpu-4-1"),
        ("tgi", "al2-ami-sagemaker-inference-gpu-3-1"),
    ],
)
def test_the_driver_runs_the_containers_cuda_and_there_is_time_to_start(
    engine: Engine, ami: str, agency_file: Make
) -> None:
    (variant,) = only(template_of(agency_file(engine)), "AWS::SageMaker::EndpointConfig")[
        "ProductionVariants"
    ]
    assert variant["InferenceAmiVersion"] == ami
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 600 + AWQ.total_bytes // 100_000_000


def test_an_archive_works_as_well(agency_file: Make) -> None:
    path = agency_file("vllm")
    path.write_text(path.read_text().replace("    artifact: s3-prefix\n", ""))
    assert container(template_of(path))["ModelDataUrl"]


def test_the_files_own_variables_win_where_they_may(agency_file: Make) -> None:
    more = '    environment: {OPTION_GPU_MEMORY_UTILIZATION: "0.92", OPTION_ENFORCE_EAGER: "true"}\n'
    environment = container(template_of(agency_file("vllm", more=more)))["Environment"]
    assert environment["OPTION_GPU_MEMORY_UTILIZATION"] == "0.92"
    assert environment["OPTION_ENFORCE_EAGER"] == "true"


def test_an_own_image_is_taken_in_place_of_aws(agency_file: Make) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/approved/lmi:1"
    template = template_of(agency_file("vllm", more=f"    image: {image}\n"))
    assert container(template)["Image"] == image
    assert "djl-inference" not in json.dumps(template.to_json())


def test_of_an_own_image_on_a_type_that_is_not_known_all_gpus_are_taken(agency_file: Make) -> None:
    more = "    image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/approved/any:1\n"
    path = agency_file("vllm", instance_type="ml.c5.xlarge", more=more)
    assert container(template_of(path))["Environment"]["TENSOR_PARALLEL_DEGREE"] == "max"
    path = agency_file("tgi", instance_type="ml.c5.xlarge", more=more)
    assert "SM_NUM_GPUS" not in container(template_of(path))["Environment"]


def test_a_variable_that_the_stack_sets_fails_the_synth_with_its_line(agency_file: Make) -> None:
    with pytest.raises(AgencyFileError, match=r"default.yaml:11: models\[0\].environment.NUM_SHARD: got"):
        make_stack(agency_file("tgi", more='    environment: {NUM_SHARD: "2"}\n'))


@pytest.mark.parametrize("engine", IMAGES)
def test_the_container_knows_what_it_is_told(engine: Engine, agency_file: Make) -> None:
    """By the names read out of the source of the container's version, and those of its entrypoint."""
    told = container(template_of(agency_file(engine, quantization="BF16")))["Environment"]
    entrypoint = {"HF_MODEL_ID", "HF_HUB_OFFLINE", "TENSOR_PARALLEL_DEGREE"}
    assert told.keys() <= load_engine_options().engines[engine].names | entrypoint
    may_be_changed = {"OPTION_GPU_MEMORY_UTILIZATION", "MAX_CONCURRENT_REQUESTS", "USAGE_STATS"}
    assert told.keys() - RESERVED[engine].keys() <= may_be_changed
