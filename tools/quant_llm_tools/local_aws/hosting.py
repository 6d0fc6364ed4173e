"""SageMaker hosting in the embedded AWS: an endpoint is a container's real entrypoint, run as a process.

`install` puts it into moto: endpoints then go through SageMaker's states, with a FailureReason that says why,
and moto's list of instance types, years old, gives way to botocore's. `stop_all` ends what runs and takes it
out again.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, cast

import botocore.session
from botocore.model import StringShape
from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpoint, FakeEndpointConfig, Model, SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from quant_llm_tools.local_aws import hosting_component_api, hosting_deployment
from quant_llm_tools.local_aws.hosting_endpoint import HostedEndpoint, in_parallel
from quant_llm_tools.local_aws.hosting_settings import HostingSettings
from quant_llm_tools.local_aws.waiting import WAITERS, ResourceFailed

__all__ = ["HostedEndpoint", "HostingSettings", "find_endpoint", "install", "stop_all", "wait_for_endpoint"]

# SageMaker's bounds of a production variant's start-up timeouts, in seconds.
_TIMEOUT_BOUNDS = (60, 3600)
_TIMEOUTS = ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds")

# Fields that moto drops from a request though SageMaker describes them later, and moto's attributes for them.
_MODEL_FIELDS = {"EnableNetworkIsolation": "enable_network_isolation"}
_CONFIGURATION_FIELDS = {
    "EnableNetworkIsolation": "enable_network_isolation",
    "ExecutionRoleArn": "execution_role_arn",
    "MetricsConfig": "metrics_config",
    "VpcConfig": "vpc_config",
}

_moto_create_model = SageMakerModelBackend.create_model
_moto_create_endpoint_config = SageMakerModelBackend.create_endpoint_config
_moto_validate_models = SageMakerModelBackend.validate_production_variants
_moto_respond_create_endpoint = SageMakerResponse.create_endpoint
_moto_respond_create_model = SageMakerResponse.create_model
_moto_respond_create_endpoint_config = SageMakerResponse.create_endpoint_config

_lock = threading.Lock()
_settings: HostingSettings | None = None
_replaced: list[Callable[[], None]] = []
_endpoints: list[HostedEndpoint] = []


def install(settings: HostingSettings) -> None:
    """Host the endpoints that are created from now on, and let CloudFormation wait for them."""
    global _settings
    stop_all()
    settings.write_programs()
    _settings = settings
    for owner, name, replacement in (*_SEAMS, *hosting_component_api.SEAMS):
        _replaced.append(_restore(owner, name))
        setattr(owner, name, replacement)
    WAITERS["AWS::SageMaker::Endpoint"] = wait_for_endpoint
    WAITERS[hosting_component_api.RESOURCE_TYPE] = hosting_component_api.wait_for_component


def stop_all() -> None:
    """End every container and take hosting out of moto again."""
    with _lock:
        endpoints, _endpoints[:] = list(_endpoints), []
    in_parallel([hosting_component_api.stop_components, *(endpoint.stop for endpoint in endpoints)])
    for endpoint in endpoints:
        endpoint.wait_until_settled()
    while _replaced:
        _replaced.pop()()
    WAITERS.pop("AWS::SageMaker::Endpoint", None)
    WAITERS.pop(hosting_component_api.RESOURCE_TYPE, None)


def find_endpoint(name: str, region: str | None) -> HostedEndpoint | None:
    """The endpoint of this name in a region, or in any if the region isn't known."""
    with _lock:
        for endpoint in _endpoints:
            if endpoint.endpoint_name == name and region in (None, endpoint.region):
                return endpoint
    return None


def wait_for_endpoint(physical_id: str, region: str) -> None:
    """Block until a created or updated endpoint is in service. `physical_id` is its ARN or its name.

    Raises ResourceFailed with the FailureReason, also when an update failed and the old containers serve on.
    """
    name = physical_id.rpartition("/")[2]
    endpoint = find_endpoint(name, region)
    if endpoint is None:
        raise ResourceFailed(f"Could not find endpoint '{name}' in {region}.")
    endpoint.wait_until_settled()
    if endpoint.failure_reason is not None:
        raise ResourceFailed(endpoint.failure_reason)


def _restore(owner: type, name: str) -> Callable[[], None]:
    if name in vars(owner):
        return functools.partial(setattr, owner, name, vars(owner)[name])
    return functools.partial(delattr, owner, name)


def _create_model(backend: SageMakerModelBackend, model_name: str, **arguments: Any) -> Model:
    if model_name in backend._models:
        raise ValidationError(f"Cannot create already existing model '{backend._models[model_name].arn}'.")
    return _moto_create_model(backend, model_name=model_name, **arguments)


def _create_endpoint_config(
    backend: SageMakerModelBackend, endpoint_config_name: str, **arguments: Any
) -> FakeEndpointConfig:
    existing = backend.endpoint_configs.get(endpoint_config_name)
    if existing is not None:
        arn = existing.endpoint_config_arn
        raise ValidationError(f"Cannot create already existing endpoint configuration '{arn}'.")
    for variant in arguments["production_variants"]:
        _check_timeouts(variant)
        _check_managed_scaling(variant)
    made = _moto_create_endpoint_config(backend, endpoint_config_name=endpoint_config_name, **arguments)
    made.arn = made.endpoint_config_arn  # type: ignore[assignment] # moto's is a tuple, seen by the tagging API
    return made


def _check_timeouts(variant: dict[str, Any]) -> None:
    lowest, highest = _TIMEOUT_BOUNDS
    for name in _TIMEOUTS:
        if name in variant and not lowest <= variant[name] <= highest:
            raise ValidationError(
                f"Value '{variant[name]}' at '{name}' failed to satisfy constraint: Member must have value "
                f"between {lowest} and {highest}"
            )


def _check_managed_scaling(variant: dict[str, Any]) -> None:
    if "ManagedInstanceScaling" in variant and "ModelName" in variant:
        raise ValidationError("ManagedInstanceScaling is only supported for inference component endpoints.")


def _validate_models(backend: SageMakerModelBackend, variants: list[dict[str, Any]]) -> None:
    """moto wants a model of each variant, which those of inference components don't have."""
    _moto_validate_models(backend, [variant for variant in variants if "ModelName" in variant])


def _validate_instance_type(_configuration: FakeEndpointConfig, instance_type: str) -> None:
    if instance_type not in _instance_types():
        raise ValidationError(
            f"Value '{instance_type}' at 'instanceType' failed to satisfy constraint: "
            f"Member must satisfy enum value set: {list(_instance_types())}"
        )


@functools.cache
def _instance_types() -> tuple[str, ...]:
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = cast(StringShape, model.shape_for("ProductionVariantInstanceType"))
    return tuple(shape.enum)


def _create_endpoint(
    backend: SageMakerModelBackend, endpoint_name: str, endpoint_config_name: str, tags: list[dict[str, str]]
) -> FakeEndpoint:
    assert _settings is not None  # noqa: S101 - for the type checker: set before this is installed
    if endpoint_name in backend.endpoints:
        arn = backend.endpoints[endpoint_name].arn
        raise ValidationError(f"Cannot create already existing endpoint '{arn}'.")
    endpoint = HostedEndpoint(
        backend,
        name=endpoint_name,
        configuration=backend.describe_endpoint_config(endpoint_config_name),
        tags=tags,
        settings=_settings,
    )
    backend.endpoints[endpoint_name] = endpoint
    with _lock:
        _endpoints.append(endpoint)
    return endpoint


def _delete_endpoint(backend: SageMakerModelBackend, endpoint_name: str) -> None:
    endpoint = _existing(backend, endpoint_name)

    def removed() -> None:
        hosting_component_api.stop_components_of(endpoint)
        with _lock:
            if endpoint in _endpoints:
                _endpoints.remove(endpoint)
        backend.endpoints.pop(endpoint_name, None)

    endpoint.delete(removed)


def _update_weights_and_capacities(
    backend: SageMakerModelBackend, endpoint_name: str, desired_weights_and_capacities: list[dict[str, Any]]
) -> str:
    endpoint = _existing(backend, endpoint_name)
    endpoint.set_capacities(desired_weights_and_capacities)
    return endpoint.arn


def _existing(backend: SageMakerModelBackend, name: str) -> HostedEndpoint:
    endpoint = backend.endpoints.get(name)
    if not isinstance(endpoint, HostedEndpoint):
        arn = FakeEndpoint.arn_formatter(name, backend.account_id, backend.region_name)
        raise ValidationError(f"Could not find endpoint '{arn}'.")
    return endpoint


def _respond_update_endpoint(response: SageMakerResponse) -> ActionResult:
    backend = response.sagemaker_backend
    endpoint = _existing(backend, response._get_param("EndpointName"))
    deployment = response._get_param("DeploymentConfig")
    if deployment is not None:
        hosting_deployment.check(deployment, endpoint.instances)
    endpoint.redeploy(
        backend.describe_endpoint_config(response._get_param("EndpointConfigName")),
        retain=bool(response._get_param("RetainAllVariantProperties")),
        excluded=[
            item["VariantPropertyType"]
            for item in response._get_param("ExcludeRetainedVariantProperties") or []
        ],
    )
    endpoint.deployment_config = deployment
    return ActionResult({"EndpointArn": endpoint.arn})


def _respond_create_endpoint(response: SageMakerResponse) -> ActionResult:
    """An endpoint may be created with a deployment configuration, for updates that retain it."""
    result = _moto_respond_create_endpoint(response)
    endpoint = _existing(response.sagemaker_backend, response._get_param("EndpointName"))
    endpoint.deployment_config = response._get_param("DeploymentConfig")
    return result


def _respond_create_model(response: SageMakerResponse) -> ActionResult:
    result = _moto_respond_create_model(response)
    model = response.sagemaker_backend.describe_model(response._get_param("ModelName"))
    if not model.vpc_config:
        # moto describes an empty one, which the SageMaker SDK refuses; SageMaker leaves it out.
        model.vpc_config = None  # type: ignore[assignment] # left out of moto's response_object then
    _keep_fields(response, model, _MODEL_FIELDS)
    return result


def _respond_create_endpoint_config(response: SageMakerResponse) -> ActionResult:
    result = _moto_respond_create_endpoint_config(response)
    name = response._get_param("EndpointConfigName")
    _keep_fields(response, response.sagemaker_backend.endpoint_configs[name], _CONFIGURATION_FIELDS)
    return result


def _keep_fields(response: SageMakerResponse, resource: object, fields: dict[str, str]) -> None:
    for field, attribute in fields.items():
        value = response._get_param(field)
        if value is not None:
            setattr(resource, attribute, value)


_SEAMS: tuple[tuple[type, str, Callable[..., Any]], ...] = (
    (FakeEndpointConfig, "validate_instance_type", _validate_instance_type),
    (SageMakerModelBackend, "create_model", _create_model),
    (SageMakerModelBackend, "create_endpoint_config", _create_endpoint_config),
    (SageMakerModelBackend, "validate_production_variants", _validate_models),
    (SageMakerModelBackend, "create_endpoint", _create_endpoint),
    (SageMakerModelBackend, "delete_endpoint", _delete_endpoint),
    (SageMakerModelBackend, "update_endpoint_weights_and_capacities", _update_weights_and_capacities),
    (SageMakerResponse, "create_endpoint", _respond_create_endpoint),
    (SageMakerResponse, "create_model", _respond_create_model),
    (SageMakerResponse, "create_endpoint_config", _respond_create_endpoint_config),
    (SageMakerResponse, "update_endpoint", _respond_update_endpoint),
)
