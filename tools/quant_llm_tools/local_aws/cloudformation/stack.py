"""A stack: what is deployed, what it is made of, and what happened to it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from quant_llm_tools.local_aws.cloudformation.desired import Desired
from quant_llm_tools.local_aws.cloudformation.errors import ValidationError

Json = Any
STACK_TYPE = "AWS::CloudFormation::Stack"


@dataclass
class Resource:
    """One resource: its definition in the template, its resolved properties, what it turned into."""

    logical_id: str
    type: str
    definition: Mapping[str, Json]
    properties: dict[str, Json]
    physical_id: str | None = None
    attributes: dict[str, Json] = field(default_factory=dict)
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    def copy(self) -> Resource:
        """The resource as it is now, for a rollback."""
        return replace(self, attributes=dict(self.attributes))


@dataclass
class ChangeSet:
    """A proposed create or update; `failure` says why it cannot be executed: that it would change nothing."""

    name: str
    id: str
    type: str
    description: str | None
    options: dict[str, Json]
    desired: Desired
    changes: list[dict[str, Json]]
    failure: str | None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


class Stack:
    """A stack with its resources, events and change sets. The API reads it while the executor changes it."""

    def __init__(self, name: str, account: str, region: str, partition: str) -> None:
        self.name = name
        self.account = account
        self.region = region
        self.partition = partition
        self.id = f"arn:{partition}:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"
        self.status = ""
        self.status_reason: str | None = None
        self.deployed: Desired | None = None
        self.resources: dict[str, Resource] = {}
        self.outputs: list[dict[str, str]] = []
        self.events: list[dict[str, Json]] = []
        self.change_sets: dict[str, ChangeSet] = {}
        self.capabilities: list[str] = []
        self.role_arn: str | None = None
        self.termination_protection = False
        self.created = datetime.now(UTC)
        self.updated: datetime | None = None
        self.deleted: datetime | None = None

    @property
    def busy(self) -> bool:
        """Whether an operation is running on the stack."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def pseudo_parameters(self) -> dict[str, Json]:
        """The values of `AWS::…` in this stack's template."""
        return {
            "AWS::AccountId": self.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": self.partition,
            "AWS::Region": self.region,
            "AWS::StackId": self.id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com",
        }

    def set_status(self, status: str, reason: str | None = None) -> None:
        """Move the whole stack to a status and record the event."""
        self._record(self.name, self.id, STACK_TYPE, status, reason)
        self.status, self.status_reason = status, reason

    def set_resource_status(self, resource: Resource, status: str, reason: str | None = None) -> None:
        """Move one resource to a status and record the event."""
        resource.status, resource.reason, resource.updated = status, reason, datetime.now(UTC)
        self._record(resource.logical_id, resource.physical_id or "", resource.type, status, reason)

    def _record(self, logical_id: str, physical_id: str, kind: str, status: str, reason: str | None) -> None:
        self.events.append(
            {
                "StackId": self.id,
                "EventId": str(uuid.uuid4()),
                "StackName": self.name,
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": physical_id,
                "ResourceType": kind,
                "Timestamp": datetime.now(UTC),
                "ResourceStatus": status,
                **({"ResourceStatusReason": reason} if reason else {}),
            }
        )

    def reference(self, logical_id: str) -> str:
        """What `Ref` of a resource gives."""
        return self._existing(logical_id).physical_id or ""

    def attribute(self, logical_id: str, name: str) -> Json:
        """What `Fn::GetAtt` gives; ValidationError for an attribute that the resource doesn't have."""
        resource = self._existing(logical_id)
        found: Json = resource.attributes
        # Attributes of objects are named with dots, some attributes of custom resources themselves have dots.
        if name in found:
            return found[name]
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise ValidationError(
                    f"Template error: resource {logical_id} does not support"
                    f" attribute type {name} in Fn::GetAtt"
                )
            found = found[part]
        return found

    def _existing(self, logical_id: str) -> Resource:
        if logical_id not in self.resources:
            raise ValidationError(f"Template error: resource {logical_id} does not exist in the stack")
        return self.resources[logical_id]
