"""What a command line names, and what is known of it before anything is asked."""

from __future__ import annotations

import time
from typing import Any

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench import environment
from quant_llm_tools.bench.subject import Wishes, at_sagemaker


def wishes(**more: Any) -> Wishes:
    return Wishes(route="completions", timeout_s=10, clock=time.perf_counter, **more)


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    # Without keys boto3 asks the network for some.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.fixture
def _not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise environment.NotDescribed("not allowed to perform sagemaker:DescribeEndpoint")

    monkeypatch.setattr(environment, "of_sagemaker", refuse)


@pytest.mark.usefixtures("_not_described")
def test_a_caller_who_may_only_invoke_measures_with_a_remark() -> None:
    subject = at_sagemaker("moh-mistral", wishes(region="us-east-1"))
    assert subject.environment.endpoint == subject.name == "moh-mistral"
    assert subject.environment.instance_type is None
    assert subject.price is None
    assert "sagemaker:DescribeEndpoint" in subject.remarks[0]


@pytest.mark.usefixtures("_not_described")
def test_an_instance_type_that_is_given_has_its_gpu_and_its_price() -> None:
    subject = at_sagemaker("moh-mistral", wishes(region="us-east-1", instance_type="ml.g5.xlarge"))
    assert subject.environment.instance_type == "ml.g5.xlarge"
    assert subject.environment.gpu_model == "NVIDIA A10G"
    assert subject.price is not None


def test_without_a_region_nothing_is_asked() -> None:
    with pytest.raises(QuantLlmError, match="no AWS region, expected --region"):
        at_sagemaker("moh-mistral", wishes())


def test_a_profile_that_is_not_there_is_an_error_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(QuantLlmError, match=r"endpoint 'e' can't be reached: .*nobody"):
        at_sagemaker("e", wishes(region="us-east-1"))
