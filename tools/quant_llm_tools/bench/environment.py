"""What is measured: told by SageMaker, by the server at a URL, and by the locks of ./agencies."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from quant_llm.agency import AgencyLock, ModelLock
from quant_llm.catalogue import load_catalogue
from quant_llm.errors import QuantLlmError
from quant_llm_tools.agencies import DEFAULT_DIRECTORY
from quant_llm_tools.bench.machine import gpus, load_generator
from quant_llm_tools.bench.results import Environment
from quant_llm_tools.bench.url_target import ServerUrl

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

_DIGEST = re.compile(r"/models/([^/]+)/([0-9a-f]{64})/")
_SLOTS = ("LLAMA_ARG_N_PARALLEL", "EXLLAMA_MAX_BATCH_SIZE")
_MODELS_SECONDS = 10.0


class NotDescribed(Exception):
    """The caller may not describe the endpoint."""


def of_sagemaker(client: SageMakerClient, endpoint: str, region: str | None) -> Environment:
    """An endpoint as SageMaker describes it. NotDescribed if the caller may invoke endpoints only.

    Of several variants the first counts. The driver is the AMI's name, which decides it.
    """
    try:
        described = client.describe_endpoint(EndpointName=endpoint)
        configuration = client.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
        variant = configuration["ProductionVariants"][0]
        model: Any = client.describe_model(ModelName=variant["ModelName"]) if "ModelName" in variant else {}
    except ClientError as error:
        if "AccessDenied" in error.response["Error"].get("Code", ""):
            raise NotDescribed(error.response["Error"].get("Message", "access was denied")) from error
        raise QuantLlmError(f"endpoint '{endpoint}' can't be described: {error}") from error
    container = model.get("PrimaryContainer", {})
    running = described.get("ProductionVariants")
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    found = _DIGEST.search(container.get("ModelDataUrl") or source or "")
    environment = _environment(
        target="sagemaker",
        endpoint=endpoint,
        region=region,
        instance_type=variant.get("InstanceType"),
        instance_count=running[0].get("CurrentInstanceCount") if running else None,
        driver=variant.get("InferenceAmiVersion"),
        engine_build=container.get("Image"),
        model=found[1] if found else None,
        lock_digest=found[2] if found else None,
        slots=_slots(container.get("Environment") or {}),
    )
    return with_instance(with_lock(environment, find_lock(found[2]) if found else None))


def unknown_endpoint(endpoint: str, region: str) -> Environment:
    """An endpoint that can't be described."""
    return _environment(target="sagemaker", endpoint=endpoint, region=region)


def of_url(url: ServerUrl, model: str | None) -> Environment:
    """A server at a URL; of the machine's GPUs if it is on this one."""
    environment = _environment(target="url", endpoint=str(url), model=model)
    return with_own_gpus(environment) if url.on_this_machine else environment


def of_local(lock: ModelLock, *, engine_build: str, slots: int, context_length: int) -> Environment:
    """The container as a process of this machine."""
    environment = _environment(
        target="local",
        endpoint="the container with the model of agencies/default.yaml, on this machine",
        engine="llama.cpp",
        engine_build=engine_build,
        slots=slots,
        context_length=context_length,
        lock_digest=lock.digest,
    )
    return with_own_gpus(with_lock(environment, lock))


def with_own_gpus(environment: Environment) -> Environment:
    """The same with this machine's GPUs, if it has any."""
    found = gpus()
    if found is None:
        return environment
    return environment.model_copy(
        update={
            "gpu_model": found.model,
            "gpu_count": found.count,
            "gpu_memory_mib": found.memory_mib,
            "driver": found.driver,
        }
    )


def with_instance(environment: Environment) -> Environment:
    """The same with the GPUs of its instance type, by the catalogue."""
    known = load_catalogue().find(environment.instance_type or "")
    if known is None:
        return environment
    return environment.model_copy(update={"gpu_model": known.gpu_model, "gpu_count": known.gpu_count})


def with_lock(environment: Environment, lock: ModelLock | None) -> Environment:
    """The same with what a lock says about the weights."""
    if lock is None:
        return environment
    return environment.model_copy(
        update={
            "model": lock.source.hub,
            "quantization": lock.shape.quantization,
            "bits_per_weight": lock.shape.bits_per_weight,
            "parameters": lock.shape.parameters,
            "weight_bytes": lock.total_bytes,
        }
    )


def find_lock(digest: str, directory: Path = DEFAULT_DIRECTORY) -> ModelLock | None:
    """The model of ./agencies whose lock has this digest; None if there is none."""
    for path in sorted(directory.glob("*.lock.json")):
        try:
            models = AgencyLock.read(path).models.values()
        except (QuantLlmError, ValidationError):
            continue  # `quantllm agencies check` says what is wrong with it
        for lock in models:
            if lock.digest == digest:
                return lock
    return None


def served_model(url: ServerUrl) -> str | None:
    """The name under which a server serves its one model, or the first; None if it doesn't tell."""
    import urllib3

    if url.models is None:
        return None
    try:
        answer = urllib3.PoolManager().request("GET", url.models, timeout=_MODELS_SECONDS, retries=False)
        name = answer.json()["data"][0]["id"]
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _slots(variables: dict[str, str]) -> int | None:
    found = next((variables[name] for name in _SLOTS if variables.get(name, "").isdecimal()), None)
    return int(found) if found else None


def _environment(**facts: Any) -> Environment:
    return Environment(load_generator=load_generator(), quantllm_version=version("quant-llm"), **facts)
