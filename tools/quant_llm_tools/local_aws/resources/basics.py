"""Resources that are hardly more than an entry: SSM parameters, and the CDK's note about itself."""

from __future__ import annotations

from typing import Any

from quant_llm_tools.local_aws.resources.request import Request

Json = Any


class Nothing:
    """AWS::CDK::Metadata, and whatever else exists in the template alone."""

    def create(self, request: Request) -> None:
        """Take note."""
        request.accept_all()
        request.identify(request.name("", 255))

    def update(self, request: Request) -> None:
        """Take note."""
        request.accept_all()

    def delete(self, request: Request) -> None:
        """Forget it."""


class SsmParameter:
    """AWS::SSM::Parameter."""

    def create(self, request: Request) -> None:
        """Put the parameter."""
        name = request.name("Name", 1011)
        request.call("ssm.put_parameter", Name=name)
        request.identify(name)
        self._describe(request)

    def update(self, request: Request) -> None:
        """Put it over the old one; SSM refuses tags with that."""
        names = ("AllowedPattern", "DataType", "Description", "Tier", "Type", "Value")
        given = {name: str(request.properties[name]) for name in names if name in request.properties}
        request.send(request.client("ssm").put_parameter, Name=request.physical_id, Overwrite=True, **given)
        if request.changed("Tags"):
            client = request.client("ssm")
            gone = [
                key for key in request.old.get("Tags", {}) if key not in request.properties.get("Tags", {})
            ]
            target: dict[str, Json] = {"ResourceType": "Parameter", "ResourceId": request.physical_id}
            request.send(client.remove_tags_from_resource, TagKeys=gone, **target)
            request.call("ssm.add_tags_to_resource", **target)
        self._describe(request)

    def delete(self, request: Request) -> None:
        """Delete the parameter."""
        request.send(request.client("ssm").delete_parameter, Name=request.physical_id)

    @staticmethod
    def _describe(request: Request) -> None:
        request.attributes = {"Type": request.properties["Type"], "Value": request.properties["Value"]}
