"""CloudFormation's API: requests are parsed and answers written by moto's core, from botocore's model."""

from __future__ import annotations

from typing import Any

from flask import Flask
from moto.core.common_types import TYPE_RESPONSE
from moto.core.request import Request
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import convert_to_flask_response
from moto.moto_server.werkzeug_app import BackendRequest

from quant_llm_tools.local_aws.cloudformation.errors import ChangeSetNotFound, ValidationError
from quant_llm_tools.local_aws.cloudformation.stack import ChangeSet, Resource, Stack
from quant_llm_tools.local_aws.cloudformation.stacks import Stacks
from quant_llm_tools.local_aws.cloudformation.template import parse

Json = Any
_EVENTS_A_PAGE = 100


class CloudFormationApi(BaseResponse):
    """One request to CloudFormation; each method is the action of that name."""

    def __init__(self, stacks: Stacks) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True
        self._stacks = stacks

    def create_stack(self) -> ActionResult:  # noqa: D102 - the API's action of that name, like all that follow
        stack = self._stacks.create(*self._place, self._get_param("StackName"), self._options)
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:  # noqa: D102
        stack = self._stack()
        self._stacks.update(stack, self._options)
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:  # noqa: D102
        try:
            stack = self._stack()
        except ValidationError:
            return EmptyResult()  # AWS does not mind either
        self._stacks.delete(stack, self._get_param("RetainResources", []))
        return EmptyResult()

    def update_termination_protection(self) -> ActionResult:  # noqa: D102
        stack = self._stack()
        stack.termination_protection = bool(self._get_param("EnableTerminationProtection"))
        return ActionResult({"StackId": stack.id})

    def describe_stacks(self) -> ActionResult:  # noqa: D102
        name = self._get_param("StackName")
        stacks = [self._stack()] if name else self._stacks.listed(*self._place)
        return ActionResult({"Stacks": [_described(stack) for stack in stacks]})

    def list_stacks(self) -> ActionResult:  # noqa: D102
        wanted = self._get_param("StackStatusFilter", [])
        stacks = self._stacks.listed(*self._place, deleted=True)
        summaries = [_summary(stack) for stack in stacks if not wanted or stack.status in wanted]
        return ActionResult({"StackSummaries": summaries})

    def describe_stack_events(self) -> ActionResult:  # noqa: D102
        events = self._stack().events[::-1]
        token = self._get_param("NextToken")
        start = next((at for at, event in enumerate(events) if event["EventId"] == token), 0)
        page = events[start : start + _EVENTS_A_PAGE]
        following = events[start + _EVENTS_A_PAGE : start + _EVENTS_A_PAGE + 1]
        more = {"NextToken": following[0]["EventId"]} if following else {}
        return ActionResult({"StackEvents": page, **more})

    def describe_stack_resource(self) -> ActionResult:  # noqa: D102
        stack, logical_id = self._stack(), self._get_param("LogicalResourceId")
        if logical_id not in stack.resources:
            raise ValidationError(f"Resource {logical_id} does not exist for stack {stack.name}")
        return ActionResult({"StackResourceDetail": _resource(stack, stack.resources[logical_id])})

    def describe_stack_resources(self) -> ActionResult:  # noqa: D102
        stack, logical_id = self._stack(), self._get_param("LogicalResourceId")
        chosen = [resource for name, resource in list(stack.resources.items()) if logical_id in (None, name)]
        return ActionResult({"StackResources": [_resource(stack, resource) for resource in chosen]})

    def list_stack_resources(self) -> ActionResult:  # noqa: D102
        stack = self._stack()
        resources = [_resource(stack, resource) for resource in list(stack.resources.values())]
        return ActionResult({"StackResourceSummaries": resources})

    def get_template(self) -> ActionResult:  # noqa: D102
        stack = self._stack()
        change_set = self._get_param("ChangeSetName")
        desired = self._change_set()[1].desired if change_set else stack.deployed
        # A stack that is under review has none yet.
        body = desired.body if desired else "{}"
        return ActionResult({"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]})

    def get_template_summary(self) -> ActionResult:  # noqa: D102
        if self._get_param("StackName"):
            deployed = self._stack().deployed
            if deployed is None:
                raise ValidationError("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
            template = dict(deployed.template)
        else:
            template = parse(self._stacks.template_body(*self._place, self._options))
        return ActionResult(
            {
                "Parameters": [
                    {
                        "ParameterKey": name,
                        "ParameterType": spec.get("Type", "String"),
                        "DefaultValue": spec.get("Default"),
                        "NoEcho": bool(spec.get("NoEcho", False)),
                        "Description": spec.get("Description"),
                    }
                    for name, spec in template.get("Parameters", {}).items()
                ],
                "Description": template.get("Description"),
                "ResourceTypes": sorted({resource["Type"] for resource in template["Resources"].values()}),
            }
        )

    def validate_template(self) -> ActionResult:  # noqa: D102
        template = parse(self._stacks.template_body(*self._place, self._options))
        return ActionResult({"Description": template.get("Description"), "Parameters": []})

    def create_change_set(self) -> ActionResult:  # noqa: D102
        names = self._get_param("StackName"), self._get_param("ChangeSetName")
        stack, change_set = self._stacks.create_change_set(*self._place, *names, self._options)
        return ActionResult({"Id": change_set.id, "StackId": stack.id})

    def describe_change_set(self) -> ActionResult:  # noqa: D102
        stack, change_set = self._change_set()
        options = change_set.options
        return ActionResult(
            {
                **_change_set_summary(stack, change_set),
                "Parameters": options.get("Parameters") or [],
                "Tags": options.get("Tags") or [],
                "Capabilities": options.get("Capabilities") or [],
                "Changes": change_set.changes,
            }
        )

    def list_change_sets(self) -> ActionResult:  # noqa: D102
        stack = self._stack()
        summaries = [_change_set_summary(stack, change_set) for change_set in stack.change_sets.values()]
        return ActionResult({"Summaries": summaries})

    def delete_change_set(self) -> ActionResult:  # noqa: D102
        try:
            stack, change_set = self._change_set()
        except ChangeSetNotFound:
            return EmptyResult()  # AWS does not mind, and the CDK relies on it
        del stack.change_sets[change_set.name]
        return EmptyResult()

    def execute_change_set(self) -> ActionResult:  # noqa: D102
        if self._get_param("DisableRollback"):
            raise ValidationError("the embedded AWS always rolls back what failed, got DisableRollback true")
        self._stacks.execute(*self._change_set())
        return EmptyResult()

    @property
    def _place(self) -> tuple[str, str]:
        return self.current_account, self.region

    @property
    def _options(self) -> dict[str, Json]:
        return dict(self._get_params())

    def _stack(self) -> Stack:
        return self._stacks.find(*self._place, self._get_param("StackName"))

    def _change_set(self) -> tuple[Stack, ChangeSet]:
        name, stack = self._get_param("ChangeSetName"), self._get_param("StackName")
        return self._stacks.find_change_set(*self._place, name, stack)


def application(stacks: Stacks) -> Flask:
    """The WSGI application that answers CloudFormation's requests."""

    def answer(request: Request, url: str, headers: Json) -> TYPE_RESPONSE:
        return CloudFormationApi(stacks)._dispatch(request, url, headers)

    app = Flask("cloudformation")
    app.request_class = BackendRequest
    view = convert_to_flask_response(answer)
    app.add_url_rule("/", endpoint="cloudformation", methods=["GET", "POST"], view_func=view)
    return app


def _described(stack: Stack) -> dict[str, Json]:
    desired = stack.deployed
    template = desired.template if desired else {}
    parameters = []
    given_values, values = (desired.parameters, desired.values) if desired else ({}, {})
    for name, spec in template.get("Parameters", {}).items():
        given = given_values.get(name, spec.get("Default"))
        entry = {"ParameterKey": name, "ParameterValue": "****" if spec.get("NoEcho") else str(given)}
        if str(spec.get("Type")).startswith("AWS::SSM::"):
            entry["ResolvedValue"] = str(values[name])
        parameters.append(entry)
    return {
        **_summary(stack),
        "Description": template.get("Description"),
        "Parameters": parameters,
        "DisableRollback": False,
        "NotificationARNs": [],
        "Capabilities": stack.capabilities,
        "Outputs": stack.outputs,
        "RoleARN": stack.role_arn,
        "Tags": [{"Key": key, "Value": value} for key, value in (desired.tags if desired else {}).items()],
        "EnableTerminationProtection": stack.termination_protection,
        "RollbackConfiguration": {},
    }


def _summary(stack: Stack) -> dict[str, Json]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.status_reason,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _resource(stack: Stack, resource: Resource) -> dict[str, Json]:
    return {
        "StackName": stack.name,
        "StackId": stack.id,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.type,
        "Timestamp": resource.updated,
        "LastUpdatedTimestamp": resource.updated,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def _change_set_summary(stack: Stack, change_set: ChangeSet) -> dict[str, Json]:
    return {
        "ChangeSetName": change_set.name,
        "ChangeSetId": change_set.id,
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": change_set.description,
        "CreationTime": change_set.created,
        "Status": "FAILED" if change_set.failure else "CREATE_COMPLETE",
        "StatusReason": change_set.failure,
        "ExecutionStatus": "UNAVAILABLE" if change_set.failure else "AVAILABLE",
    }
