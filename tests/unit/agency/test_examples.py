"""The example agency files: what they say arrives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import (
    AgencyConfig,
    ScalingConfig,
    load_agency,
)


@pytest.mark.parametrize("name", ["default", "health", "justice"])
def test_an_example_parses_and_equals_itself_written_out_and_read_again(examples: Path, name: str) -> None:
    agency = load_agency(examples / f"{name}.yaml")
    assert agency.agency == name
    assert AgencyConfig.model_validate(agency.model_dump()) == agency


def test_every_field_of_the_full_example_arrives(examples: Path) -> None:
    agency = load_agency(examples / "health.yaml")
    assert agency.model_dump(exclude_defaults=True) == {
        "agency": "health",
        "environment": {"account": "210987654321", "region": "ap-southeast-1"},
        "tags": {"cost-centre": "H-0042", "data-classification": "restricted"},
        "permissions_boundary": "arn:aws:iam::210987654321:policy/GccBoundary",
        "network": {
            "vpc_id": "vpc-0a1b2c3d4e5f60718",
            "subnet_ids": ("subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"),
            "security_group_ids": ("sg-0a1b2c3d4e5f60718",),
        },
        "budget": {"monthly_usd": 6000, "notify": ("ml-platform@health.example",)},
        "alarms": {"notify": ("ml-oncall@health.example",)},
        "models": (
            {
                "name": "mistral-7b",
                "source": {"hub": "TheBloke/Mistral-7B-Instruct-v0.2-GGUF", "files": ("*Q4_K_M.gguf",)},
                "engine": "llama.cpp",
                "instance_type": "auto",
                "context_length": 8192,
                "concurrency": 8,
                "scaling": {
                    "min": 1,
                    "max": 4,
                    "target_concurrency": 6,
                    "schedule": (
                        {"cron": "0 8 ? * MON-FRI *", "timezone": "Asia/Singapore", "min": 2, "max": 4},
                        {"cron": "0 19 ? * MON-FRI *", "timezone": "Asia/Singapore", "min": 1, "max": 4},
                    ),
                },
            },
            {
                "name": "codellama-34b",
                "source": {
                    "hub": "LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2",
                    "token_secret": "hf-token",
                },
                "engine": "exllamav2",
                "instance_type": "ml.g5.12xlarge",
                "context_length": 8192,
                "concurrency": 4,
                "scaling": {"min": 0, "max": 2, "idle_minutes": 30},
            },
            {
                "name": "llama3-70b-awq",
                "source": {"hub": "casperhansen/llama-3-70b-instruct-awq"},
                "engine": "vllm",
                "instance_type": "ml.g5.12xlarge",
                "artifact": "s3-prefix",
                "context_length": 8192,
                "concurrency": 16,
                "scaling": {"min": 1, "max": 2},
                "environment": {"OPTION_GPU_MEMORY_UTILIZATION": "0.92"},
            },
        ),
    }


def test_what_is_left_out_takes_its_default(examples: Path) -> None:
    (model,) = load_agency(examples / "default.yaml").models
    assert (model.artifact, model.image, model.environment) == ("model.tar.gz", None, {})
    assert model.source.token_secret is None
    assert load_agency(examples / "health.yaml").models[1].source.files == ()


def test_without_scaling_there_is_one_instance(change: Callable[[str, str], Path], good: Path) -> None:
    text = good.read_text()
    scaling = text[text.index("    scaling:") : text.index("    environment: {")]
    assert load_agency(change(scaling, "")).models[0].scaling == ScalingConfig(min=1, max=1)


def test_stack_and_endpoints_have_their_fixed_names(examples: Path) -> None:
    default, justice = (load_agency(examples / f"{name}.yaml") for name in ("default", "justice"))
    assert (default.stack_name, justice.stack_name) == ("QuantLlmStack", "QuantLlmStack-justice")
    assert default.endpoint_name(default.models[0]) == "default-smollm2-135m"


def test_scaling_aims_at_three_quarters_of_the_concurrency_unless_told() -> None:
    assert ScalingConfig(min=1, max=2).target(8) == 6
    assert ScalingConfig(min=1, max=2, target_concurrency=7.5).target(8) == 7.5


def test_a_configuration_made_in_python_is_checked_alike(examples: Path) -> None:
    data = load_agency(examples / "default.yaml").model_dump()
    data["models"] = [*data["models"], *data["models"]]
    with pytest.raises(ValueError, match=r"models\[1\]\.name: expected a name of its own"):
        AgencyConfig.model_validate(data)
