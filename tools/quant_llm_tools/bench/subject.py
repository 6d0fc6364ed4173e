"""What a command line names, ready to be measured: an endpoint, a URL, or the container on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench import environment
from quant_llm_tools.bench.asking import Clock, Route, Target
from quant_llm_tools.bench.machine import gpu_memory_used_mib
from quant_llm_tools.bench.pricing import price_of
from quant_llm_tools.bench.progress import Progress
from quant_llm_tools.bench.results import Environment, Price
from quant_llm_tools.bench.sagemaker_target import SageMakerTarget, null_client, runtime_client
from quant_llm_tools.bench.url_target import ServerUrl, UrlTarget

LOCAL_PRICE = "this machine served it, at the price of {}: that is not what the type would give for the price"


@dataclass(frozen=True)
class Subject:
    """A target and all that is known of it. `null_target` reaches the null server at a URL the same way."""

    target: Target
    null_target: Callable[[str], Target]
    environment: Environment
    price: Price | None
    name: str
    model: str | None = None
    memory: Callable[[], float | None] = lambda: None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """What the command line says about the way to the target; None: nothing."""

    route: Route
    timeout_s: float
    clock: Clock
    region: str | None = None
    instance_type: str | None = None
    usd_per_hour: float | None = None
    inference_component: str | None = None
    model: str | None = None
    api_key_env: str | None = None


def at_url(text: str, wishes: Wishes) -> Subject:
    """A server at a URL. QuantLlmError if the URL is none, or a variable with a key isn't set."""
    url = ServerUrl(text)
    model = wishes.model or environment.served_model(url)
    found = environment.of_url(url, model).model_copy(
        update={"region": wishes.region, "instance_type": wishes.instance_type}
    )
    return Subject(
        target=_url_target(url, wishes, _headers(wishes.api_key_env)),
        null_target=lambda null: _url_target(ServerUrl(null), wishes, {}),
        environment=environment.with_instance(found) if wishes.instance_type else found,
        price=price_of(wishes.instance_type, wishes.region, 1, wishes.usd_per_hour),
        name=model or url.authority,
        model=model,
        memory=gpu_memory_used_mib if url.on_this_machine else lambda: None,
    )


def at_sagemaker(endpoint: str, wishes: Wishes) -> Subject:
    """An endpoint of SageMaker. What may not be described stays unknown, and a remark says so.

    QuantLlmError if there is no region, or no way to AWS.
    """
    try:
        return _at_sagemaker(endpoint, wishes)
    except BotoCoreError as error:
        raise QuantLlmError(f"endpoint '{endpoint}' can't be reached: {error}") from error


def _at_sagemaker(endpoint: str, wishes: Wishes) -> Subject:
    region = boto3.Session(region_name=wishes.region).region_name
    if region is None:
        raise QuantLlmError("no AWS region, expected --region, AWS_DEFAULT_REGION or one in the AWS profile")
    remarks: tuple[str, ...] = ()
    client = runtime_client(region, timeout_s=wishes.timeout_s)
    try:
        described = environment.of_sagemaker(boto3.client("sagemaker", region_name=region), endpoint, region)
    except environment.NotDescribed as error:
        described = environment.unknown_endpoint(endpoint, region)
        remarks = (f"unknown: model, instances and image, for {error}",)
    if wishes.instance_type is not None:
        asked = described.model_copy(update={"instance_type": wishes.instance_type})
        described = environment.with_instance(asked)

    def target(runtime: Any, name: str) -> Target:
        return SageMakerTarget(
            runtime,
            name,
            route=wishes.route,
            clock=wishes.clock,
            inference_component=wishes.inference_component,
        )

    return Subject(
        target=target(client, endpoint),
        null_target=lambda null: target(null_client(null, timeout_s=wishes.timeout_s), "null"),
        environment=described,
        price=price_of(described.instance_type, region, described.instance_count, wishes.usd_per_hour),
        name=wishes.inference_component or endpoint,
        remarks=remarks,
    )


@contextmanager
def on_this_machine(wishes: Wishes, progress: Progress) -> Iterator[Subject]:
    """The container with the model of agencies/default.yaml, for the time of the block.

    Its price is that of the file's instance type, so that all of the arithmetic is shown; a remark says that
    the speed is not that type's.
    """
    from quant_llm_tools.bench.local_container import local_container

    progress.step("start of the container")
    with local_container() as container:
        progress.finished(container.engine_build)
        url = ServerUrl(container.url)
        instance_type = wishes.instance_type or container.instance_type
        price = price_of(instance_type, wishes.region or container.region, 1, wishes.usd_per_hour)
        yield Subject(
            target=_url_target(url, wishes, {}),
            null_target=lambda null: _url_target(ServerUrl(null), wishes, {}),
            environment=environment.of_local(
                container.lock,
                engine_build=container.engine_build,
                slots=container.model.concurrency,
                context_length=container.model.context_length,
            ),
            price=price,
            name=f"{container.model.name} on this machine",
            memory=gpu_memory_used_mib,
            remarks=(LOCAL_PRICE.format(instance_type),) if price else (),
        )


def _url_target(url: ServerUrl, wishes: Wishes, headers: dict[str, str]) -> UrlTarget:
    return UrlTarget(url, wishes.route, timeout_s=wishes.timeout_s, clock=wishes.clock, headers=headers)


def _headers(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise QuantLlmError(f"--api-key-env: the variable {variable} is not set")
    return {"Authorization": f"Bearer {key}"}
