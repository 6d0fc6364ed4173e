"""The instance type of an endpoint: the file's, or the cheapest that fits, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Annotations, Match, Template

from quant_llm.agency import AgencyFileError, load_agency, locked
from stacks.quant_llm_stack import QuantLlmStack
from tests.stack.conftest import context, default_file

NAMED, AUTO = "instance_type: ml.g4dn.xlarge", "instance_type: auto"


def endpoint_config(template: Template) -> dict[str, Any]:
    (found,) = template.find_resources("AWS::SageMaker::EndpointConfig").values()
    return dict(found)


def variant(template: Template) -> dict[str, Any]:
    (found,) = endpoint_config(template)["Properties"]["ProductionVariants"]
    properties: dict[str, Any] = found
    return properties


def test_auto_is_the_cheapest_that_fits(changed_template: Callable[..., Template]) -> None:
    made = variant(changed_template((NAMED, AUTO)))
    assert made["InstanceType"] == "ml.g4dn.xlarge"
    assert made["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"


def test_auto_depends_on_the_sizes(changed_template: Callable[..., Template]) -> None:
    """SmolLM2 has 23,040 bytes of KV cache a token: 256 requests of 8,192 tokens take 45 GiB."""
    larger = (
        (NAMED, AUTO),
        ("context_length: 2048", "context_length: 8192"),
        ("concurrency: 4", "concurrency: 256"),
    )
    assert variant(changed_template(*larger))["InstanceType"] == "ml.g7e.2xlarge"


def test_the_template_says_why(changed_template: Callable[..., Template]) -> None:
    why = endpoint_config(changed_template((NAMED, AUTO)))["Metadata"]["InstanceTypeChosen"]
    assert (why["instance_type"], why["price"]) == ("ml.g4dn.xlarge", "$0.7364/h")
    assert why["memory_per_gpu"].startswith("weights 0.1 + KV cache 0.2 + overhead ")
    assert [one["instance_type"] for one in why["runners_up"]] == ["ml.g4dn.2xlarge", "ml.g6.xlarge"]
    assert "tmp" not in json.dumps(why)  # no path of this machine


def test_a_named_type_needs_no_reason(default_template: Template) -> None:
    assert "InstanceTypeChosen" not in endpoint_config(default_template).get("Metadata", {})


def test_the_output_of_synth_says_why(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, (NAMED, AUTO))
    Annotations.from_stack(stack).has_info(
        "*",
        Match.string_like_regexp(
            r"auto is ml\.g4dn\.xlarge at \$0\.7364/h \(weights .*\), then ml\.g4dn\.2xlarge at \$0\.94/h.*"
        ),
    )


def test_a_type_with_an_instance_store_gets_no_volume(default_template: Template) -> None:
    assert "VolumeSizeInGB" not in variant(default_template)


def test_a_model_that_does_not_fit_stops_the_stack(tmp_path: Path) -> None:
    with pytest.raises(AgencyFileError, match=r"got 'ml\.g4dn\.xlarge', expected more GPU memory than the "):
        stack_of(
            tmp_path, ("context_length: 2048", "context_length: 8192"), ("concurrency: 4", "concurrency: 256")
        )


def stack_of(tmp_path: Path, *changes: tuple[str, str]) -> QuantLlmStack:
    path = default_file(tmp_path, *changes)
    agency = load_agency(path)
    return QuantLlmStack(cdk.App(context=context()), "Stack", agency=agency, locks=locked(agency, path))
