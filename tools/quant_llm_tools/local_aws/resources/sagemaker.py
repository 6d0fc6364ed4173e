"""SageMaker models, endpoint configurations and endpoints, by SageMaker's own API."""

from __future__ import annotations

from quant_llm_tools.local_aws.resources.request import Request, ServiceRefused


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


_UPDATE_OPTIONS = ("ExcludeRetainedVariantProperties", "RetainAllVariantProperties", "RetainDeploymentConfig")


def _delete(request: Request, method: str, **name: str) -> None:
    try:
        request.send(getattr(request.client("sagemaker"), method), **name)
    except ServiceRefused as refused:
        # SageMaker has no error code of its own for what isn't there.
        if "Could not find" not in str(refused):
            raise
