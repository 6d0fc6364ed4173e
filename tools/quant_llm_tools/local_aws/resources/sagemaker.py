"""SageMaker models, endpoint configurations and endpoints, by SageMaker's own API."""

from __future__ import annotations

import time

from quant_llm_tools.local_aws.resources.request import Request, ServiceRefused, converted
from quant_llm_tools.local_aws.waiting import ResourceFailed


class Model:
    """AWS::SageMaker::Model; every change of it replaces it."""

    def create(self, request: Request) -> None:
        """Create the model."""
        name = request.name("ModelName", 63)
        arn = request.call("sagemaker.create_model", ModelName=name)["ModelArn"]
        request.identify(arn)
        request.attributes = {"ModelName": name, "ModelArn": arn}

    def update(self, request: Request) -> None:
        """Only tags change in place."""
        request.retag(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the model."""
        _delete(request, "delete_model", ModelName=request.attributes["ModelName"])


class EndpointConfig:
    """AWS::SageMaker::EndpointConfig; every change of it replaces it."""

    def create(self, request: Request) -> None:
        """Create the configuration."""
        name = request.name("EndpointConfigName", 63)
        arn = request.call("sagemaker.create_endpoint_config", EndpointConfigName=name)["EndpointConfigArn"]
        request.identify(arn)
        request.attributes = {"EndpointConfigName": name, "EndpointConfigArn": arn}

    def update(self, request: Request) -> None:
        """Only tags change in place."""
        request.retag(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the configuration."""
        name = request.attributes["EndpointConfigName"]
        _delete(request, "delete_endpoint_config", EndpointConfigName=name)


class Endpoint:
    """AWS::SageMaker::Endpoint: keeps its name and moves from one configuration to the next."""

    def create(self, request: Request) -> None:
        """Create the endpoint; that it comes into service is waited for by WAITERS."""
        name = request.name("EndpointName", 63)
        arn = request.call("sagemaker.create_endpoint", EndpointName=name)["EndpointArn"]
        request.identify(arn)
        request.attributes = {"EndpointName": name, "EndpointArn": arn}
        for only_for_updates in _UPDATE_OPTIONS:
            request.properties.get(only_for_updates)

    def update(self, request: Request) -> None:
        """Update the endpoint in place, with the options that the template gives for updates."""
        name = request.attributes["EndpointName"]
        if request.changed("EndpointConfigName") or request.changed("DeploymentConfig"):
            request.call("sagemaker.update_endpoint", EndpointName=name)
        for only_for_updates in _UPDATE_OPTIONS:
            request.properties.get(only_for_updates)
        request.retag(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the endpoint and wait until its containers have drained: its name is free only then."""
        name = request.attributes["EndpointName"]
        _delete(request, "delete_endpoint", EndpointName=name)
        gone = request.client("sagemaker").get_waiter("endpoint_deleted")
        request.send(gone.wait, EndpointName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})


_DELETE_SECONDS = 120


class InferenceComponent:
    """AWS::SageMaker::InferenceComponent; that its copies come into service is waited for by WAITERS."""

    def create(self, request: Request) -> None:
        """Create the component."""
        name = request.name("InferenceComponentName", 63)
        arn = request.call("sagemaker.create_inference_component", InferenceComponentName=name)[
            "InferenceComponentArn"
        ]
        request.identify(arn)
        request.attributes = {"InferenceComponentArn": arn}
        request.properties.get("DeploymentConfig")  # for updates

    def update(self, request: Request) -> None:
        """Update what changed of it; the number of copies only when the template's own changed."""
        name = request.physical_id.rpartition("/")[2]
        if request.changed("InferenceComponentName") or request.changed("EndpointName"):
            raise ResourceFailed("the embedded AWS does not rename or move an inference component")
        client = request.client("sagemaker")
        if request.changed("Specification") or request.changed("DeploymentConfig"):
            shape = client.meta.service_model.shape_for("UpdateInferenceComponentInput")
            names = ["Specification", "DeploymentConfig"]
            names += ["RuntimeConfig"] if request.changed("RuntimeConfig") else []
            arguments = {
                name: converted(request.properties[name], shape.members[name], f"{request.type} {name}")
                for name in names
                if name in request.properties
            }
            request.send(client.update_inference_component, InferenceComponentName=name, **arguments)
        elif request.changed("RuntimeConfig"):
            copies = int(request.properties["RuntimeConfig"]["CopyCount"])
            scale = client.update_inference_component_runtime_config
            request.send(scale, InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": copies})
        request.properties.get("DeploymentConfig")
        request.retag(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the component and wait until its container has drained: its name is free only then."""
        name = request.physical_id.rpartition("/")[2]
        _delete(request, "delete_inference_component", InferenceComponentName=name)
        self._wait_until_gone(request, name)

    @staticmethod
    def _wait_until_gone(request: Request, name: str) -> None:
        describe = request.client("sagemaker").describe_inference_component
        deadline = time.monotonic() + _DELETE_SECONDS
        while time.monotonic() < deadline:
            try:
                request.send(describe, InferenceComponentName=name)
            except ServiceRefused as refused:
                if "Could not find" in str(refused):
                    return
                raise
            time.sleep(0.1)
        raise ResourceFailed(f"inference component {name} is not gone after {_DELETE_SECONDS} seconds")


_UPDATE_OPTIONS = ("ExcludeRetainedVariantProperties", "RetainAllVariantProperties", "RetainDeploymentConfig")


def _delete(request: Request, method: str, **name: str) -> None:
    try:
        request.send(getattr(request.client("sagemaker"), method), **name)
    except ServiceRefused as refused:
        # SageMaker has no error code of its own for what isn't there.
        if "Could not find" not in str(refused):
            raise
