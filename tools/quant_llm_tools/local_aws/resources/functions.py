"""Lambda functions, what may call them, the rules that do, and the groups that they log to."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from quant_llm_tools.local_aws.resources.request import Request
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any


class LambdaFunction:
    """AWS::Lambda::Function."""

    def create(self, request: Request) -> None:
        """Create the function from its code in S3 or in the template."""
        name = request.name("FunctionName", 64)
        code = _code(request)
        created = request.call("lambda.create_function", FunctionName=name, Code=code)
        request.identify(name)
        request.attributes = {"Arn": created["FunctionArn"]}
        self._reserve(request)

    def update(self, request: Request) -> None:
        """Change configuration and code; what the template no longer says goes back to the default."""
        name = request.physical_id
        defaults = {name: value for name, value in _DEFAULTS.items() if name not in request.properties}
        request.call("lambda.update_function_configuration", FunctionName=name, **defaults)
        if request.changed("Code") or request.changed("Architectures"):
            request.call("lambda.update_function_code", FunctionName=name, **_code(request))
        self._reserve(request)
        request.retag(request.attributes["Arn"])

    def delete(self, request: Request) -> None:
        """Delete the function."""
        request.send(request.client("lambda").delete_function, FunctionName=request.physical_id)

    @staticmethod
    def _reserve(request: Request) -> None:
        client, name = request.client("lambda"), request.physical_id
        if "ReservedConcurrentExecutions" in request.properties:
            reserved = int(request.properties["ReservedConcurrentExecutions"])
            request.send(
                client.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=reserved
            )
        elif "ReservedConcurrentExecutions" in request.old:
            request.send(client.delete_function_concurrency, FunctionName=name)


_DEFAULTS: dict[str, Json] = {
    "Description": "",
    "Environment": {"Variables": {}},
    "EphemeralStorage": {"Size": 512},
    "MemorySize": 128,
    "Timeout": 3,
}


def _code(request: Request) -> dict[str, Json]:
    code = dict(request.properties["Code"])
    if "ZipFile" in code:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            # CloudFormation names the file so, and adds the module cfnresponse, which is no part of this.
            file.writestr("index.py", code["ZipFile"])
        code["ZipFile"] = archive.getvalue()
    if unknown := set(code) - {"S3Bucket", "S3Key", "S3ObjectVersion", "ZipFile"}:
        raise ResourceFailed(f"the embedded AWS does not apply the property Code.{sorted(unknown)[0]}")
    return code


class LambdaPermission:
    """AWS::Lambda::Permission; every change of it replaces it."""

    def create(self, request: Request) -> None:
        """Add the statement to the function's policy."""
        statement = request.name("", 100)
        request.call("lambda.add_permission", StatementId=statement)
        request.identify(statement)

    def update(self, request: Request) -> None:
        """Nothing can change in place."""

    def delete(self, request: Request) -> None:
        """Take the statement out again."""
        request.send(
            request.client("lambda").remove_permission,
            FunctionName=request.properties["FunctionName"],
            StatementId=request.physical_id,
        )


class EventInvokeConfig:
    """AWS::Lambda::EventInvokeConfig."""

    def create(self, request: Request) -> None:
        """Set how asynchronous calls are retried."""
        request.call("lambda.put_function_event_invoke_config", replaces=True)
        request.identify(f"{request.properties['FunctionName']}|{request.properties['Qualifier']}")

    def update(self, request: Request) -> None:
        """Set it anew."""
        request.call("lambda.put_function_event_invoke_config", replaces=True)

    def delete(self, request: Request) -> None:
        """Back to the default."""
        name = request.properties["FunctionName"]
        request.send(request.client("lambda").delete_function_event_invoke_config, FunctionName=name)


class EventsRule:
    """AWS::Events::Rule with its targets."""

    def create(self, request: Request) -> None:
        """Put the rule and its targets."""
        name = request.name("Name", 64)
        rule = request.call("events.put_rule", replaces=True, Name=name)
        request.identify(name)
        request.attributes = {"Arn": rule["RuleArn"]}
        self._targets(request)

    def update(self, request: Request) -> None:
        """Put them over the old ones, and remove the targets that are gone."""
        request.call("events.put_rule", replaces=True, Name=request.physical_id)
        self._targets(request)
        kept = {target["Id"] for target in request.properties.get("Targets", [])}
        gone = [target["Id"] for target in request.old.get("Targets", []) if target["Id"] not in kept]
        if gone:
            request.send(request.client("events").remove_targets, Rule=request.physical_id, Ids=gone)
        request.retag(request.attributes["Arn"])

    def delete(self, request: Request) -> None:
        """Remove targets and rule."""
        client = request.client("events")
        ids = [target["Id"] for target in request.properties.get("Targets", [])]
        if ids:
            request.send(client.remove_targets, Rule=request.physical_id, Ids=ids)
        request.send(client.delete_rule, Name=request.physical_id)

    @staticmethod
    def _targets(request: Request) -> None:
        if request.properties.get("Targets"):
            request.call("events.put_targets", Rule=request.physical_id)


class LogGroup:
    """AWS::Logs::LogGroup."""

    def create(self, request: Request) -> None:
        """Create the group, then set how long it keeps."""
        name = request.name("LogGroupName", 512)
        request.call("logs.create_log_group", logGroupName=name)
        request.identify(name)
        self._retain(request)
        location = f"{request.stack.region}:{request.stack.account}"
        request.attributes = {"Arn": f"arn:{request.stack.partition}:logs:{location}:log-group:{name}:*"}

    def update(self, request: Request) -> None:
        """Change retention, key and tags."""
        if request.changed("RetentionInDays"):
            self._retain(request)
        if request.changed("KmsKeyId"):
            client = request.client("logs")
            if "KmsKeyId" in request.properties:
                request.call("logs.associate_kms_key", logGroupName=request.physical_id)
            else:
                request.send(client.disassociate_kms_key, logGroupName=request.physical_id)
        request.retag(request.attributes["Arn"].removesuffix(":*"))

    def delete(self, request: Request) -> None:
        """Delete the group and what was logged."""
        request.send(request.client("logs").delete_log_group, logGroupName=request.physical_id)

    @staticmethod
    def _retain(request: Request) -> None:
        client, name = request.client("logs"), request.physical_id
        if "RetentionInDays" in request.properties:
            request.call("logs.put_retention_policy", logGroupName=name)
        elif "RetentionInDays" in request.old:
            request.send(client.delete_retention_policy, logGroupName=name)
