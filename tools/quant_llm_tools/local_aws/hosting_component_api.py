"""SageMaker's operations on inference components in the embedded AWS, which moto does not have.

The messages are SageMaker's where public reports quote them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpoint, SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from quant_llm_tools.local_aws.hosting_component import HostedComponent
from quant_llm_tools.local_aws.hosting_endpoint import HostedEndpoint, in_parallel
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = dict[str, Any]

RESOURCE_TYPE = "AWS::SageMaker::InferenceComponent"

_lock = threading.Lock()
_components: list[HostedComponent] = []

_moto_resource_from_arn = SageMakerModelBackend._get_resource_from_arn


def find_component(name: str, region: str | None) -> HostedComponent | None:
    """The component of this name in a region, or in any if the region isn't known."""
    with _lock:
        for component in _components:
            if component.name == name and region in (None, component.endpoint.region):
                return component
    return None


def all_components() -> list[HostedComponent]:
    """The components of all accounts and regions."""
    with _lock:
        return list(_components)


def stop_components() -> None:
    """End every component's container and forget them."""
    with _lock:
        components, _components[:] = list(_components), []
    in_parallel([component.stop for component in components])
    for component in components:
        component.wait_until_settled()


def stop_components_of(endpoint: HostedEndpoint) -> None:
    """End the containers of an endpoint that goes; as in SageMaker, its components stay and are listed."""
    with _lock:
        components = [component for component in _components if component.endpoint is endpoint]
    in_parallel([component.stop for component in components])


def wait_for_component(physical_id: str, region: str) -> None:
    """Block until a created or updated component is in service; ResourceFailed with the FailureReason."""
    name = physical_id.rpartition("/")[2]
    component = find_component(name, region)
    if component is None:
        raise ResourceFailed(f'Could not find inference component "{name}".')
    component.wait_until_settled()
    if component.failure_reason is not None:
        raise ResourceFailed(component.failure_reason)


def _create(response: SageMakerResponse) -> ActionResult:
    backend, name = response.sagemaker_backend, response._get_param("InferenceComponentName")
    endpoint_name, variant = response._get_param("EndpointName"), response._get_param("VariantName")
    if find_component(name, backend.region_name) is not None:
        raise ValidationError(f'Cannot create already existing inference component "{name}".')
    endpoint = backend.endpoints.get(endpoint_name)
    if not isinstance(endpoint, HostedEndpoint):
        arn = FakeEndpoint.arn_formatter(endpoint_name, backend.account_id, backend.region_name)
        raise ValidationError(f"Could not find endpoint '{arn}'.")
    if not endpoint.takes_components:
        raise ValidationError(
            "Invalid request provided: Inference Components are not supported in this Endpoint. "
            "Please make sure this endpoint can deploy inference components."
        )
    if not endpoint.has_variant(variant):
        raise ValidationError(f"Variant {variant} of endpoint {endpoint_name} not found.")
    copies = (response._get_param("RuntimeConfig") or {}).get("CopyCount", 0)
    if copies < 1:
        raise ValidationError("Inference components copy count must be an integer larger than 0")
    component = HostedComponent(
        endpoint,
        name=name,
        specification=_specification(response),
        copies=copies,
        tags=response._get_param("Tags") or [],
    )
    with _lock:
        _components.append(component)
    return ActionResult({"InferenceComponentArn": component.arn})


def _specification(response: SageMakerResponse) -> Json:
    """The request's specification, if it is of the kind that is hosted here."""
    given: Json = response._get_param("Specification") or {}
    if "ModelName" not in given or "BaseInferenceComponentName" in given:
        raise ValidationError(
            "The embedded AWS hosts inference components of a Specification with ModelName."
        )
    response.sagemaker_backend.describe_model(given["ModelName"])
    return given


def _describe(response: SageMakerResponse) -> ActionResult:
    return ActionResult(_existing(response).description)


def _list(response: SageMakerResponse) -> ActionResult:
    endpoint, region = response._get_param("EndpointNameEquals"), response.sagemaker_backend.region_name
    with _lock:
        found = [component for component in _components if component.endpoint.region == region]
    summaries = [one.summary for one in found if endpoint in (None, one.endpoint.endpoint_name)]
    return ActionResult({"InferenceComponents": summaries})


def _update(response: SageMakerResponse) -> ActionResult:
    component = _existing(response)
    copies = (response._get_param("RuntimeConfig") or {}).get("CopyCount")
    specification = {**component.description["Specification"], **_specification(response)}
    component.update(specification, copies)
    component.deployment_config = response._get_param("DeploymentConfig")
    return ActionResult({"InferenceComponentArn": component.arn})


def _scale(response: SageMakerResponse) -> ActionResult:
    component = _existing(response)
    component.scale(response._get_param("DesiredRuntimeConfig")["CopyCount"])
    return ActionResult({"InferenceComponentArn": component.arn})


def _delete(response: SageMakerResponse) -> ActionResult:
    component = _existing(response)

    def removed() -> None:
        with _lock:
            if component in _components:
                _components.remove(component)

    component.delete(removed)
    return EmptyResult()


def _existing(response: SageMakerResponse) -> HostedComponent:
    name = response._get_param("InferenceComponentName")
    component = find_component(name, response.sagemaker_backend.region_name)
    if component is None:
        raise ValidationError(f'Could not find inference component "{name}".')
    return component


def _resource_from_arn(backend: SageMakerModelBackend, arn: str) -> Any:
    """What the operations on tags look for."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    if kind == "inference-component" and (component := find_component(name, backend.region_name)):
        return component
    return _moto_resource_from_arn(backend, arn)


SEAMS: tuple[tuple[type, str, Callable[..., Any]], ...] = (
    (SageMakerModelBackend, "_get_resource_from_arn", _resource_from_arn),
    (SageMakerResponse, "create_inference_component", _create),
    (SageMakerResponse, "describe_inference_component", _describe),
    (SageMakerResponse, "list_inference_components", _list),
    (SageMakerResponse, "update_inference_component", _update),
    (SageMakerResponse, "update_inference_component_runtime_config", _scale),
    (SageMakerResponse, "delete_inference_component", _delete),
)
