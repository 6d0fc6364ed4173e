"""All stacks of the embedded AWS, and what may be done to which of them when."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError
from moto.utilities.utils import get_partition

from quant_llm_tools.local_aws.cloud import Cloud
from quant_llm_tools.local_aws.cloudformation.changes import differs, find_changes
from quant_llm_tools.local_aws.cloudformation.desired import Desired
from quant_llm_tools.local_aws.cloudformation.errors import AlreadyExists, ChangeSetNotFound, ValidationError
from quant_llm_tools.local_aws.cloudformation.executor import Executor, Stopped
from quant_llm_tools.local_aws.cloudformation.stack import ChangeSet, Stack
from quant_llm_tools.local_aws.cloudformation.template import parameter_values, parse
from quant_llm_tools.local_aws.resources import ResourceType

Json = Any
_log = logging.getLogger(__name__)

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
# From these an update can start.
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class Stacks:
    """The stacks by account and region. Operations start here and run in the background."""

    def __init__(self, cloud: Cloud, resource_type: Callable[[str], ResourceType | None]) -> None:
        self._cloud = cloud
        self._resource_type = resource_type
        self._stacks: list[Stack] = []
        self._lock = threading.RLock()

    def all(self) -> list[Stack]:
        """Every stack, deleted ones too, in order of creation."""
        return list(self._stacks)

    def listed(self, account: str, region: str, *, deleted: bool = False) -> list[Stack]:
        """The stacks of an account in a region."""
        return [
            stack
            for stack in self._stacks
            if (stack.account, stack.region) == (account, region) and (deleted or stack.deleted is None)
        ]

    def find(self, account: str, region: str, name_or_id: str) -> Stack:
        """A stack by name, or by id, which finds deleted stacks too. ValidationError if it isn't there."""
        for stack in self.listed(account, region, deleted=True):
            if name_or_id == stack.id or (name_or_id == stack.name and stack.deleted is None):
                return stack
        raise ValidationError(f"Stack with id {name_or_id} does not exist")

    def create(self, account: str, region: str, name: str, options: Mapping[str, Json]) -> Stack:
        """CreateStack."""
        with self._lock:
            stack = self._new(account, region, name)
            desired = self._desired(stack, options)
            find_changes(stack, desired)
            self._stacks.append(stack)
            self._configure(stack, options)
            self._start(stack, "CREATE_IN_PROGRESS", lambda executor: executor.create(desired))
        return stack

    def update(self, stack: Stack, options: Mapping[str, Json]) -> None:
        """UpdateStack; ValidationError when nothing would change."""
        with self._lock:
            _check_updatable(stack)
            desired = self._desired(stack, options)
            if not differs(stack, desired, find_changes(stack, desired)):
                raise ValidationError("No updates are to be performed.")
            self._configure(stack, options)
            self._start(stack, "UPDATE_IN_PROGRESS", lambda executor: executor.update(desired))

    def delete(self, stack: Stack, retained: list[str]) -> None:
        """DeleteStack; nothing happens to a stack that is deleted already."""
        with self._lock:
            if stack.deleted is not None or stack.status == "DELETE_IN_PROGRESS":
                return
            if stack.termination_protection:
                raise ValidationError(
                    f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
                )
            if stack.busy:
                raise ValidationError(
                    f"Stack [{stack.name}] is in {stack.status} state and can not be deleted"
                )

            def run(executor: Executor) -> None:
                executor.delete(retained)
                if stack.status == "DELETE_COMPLETE":
                    stack.deleted = datetime.now(UTC)

            self._start(stack, "DELETE_IN_PROGRESS", run)

    def create_change_set(
        self, account: str, region: str, stack_name: str, name: str, options: Mapping[str, Json]
    ) -> tuple[Stack, ChangeSet]:
        """CreateChangeSet of type CREATE or UPDATE."""
        kind = options.get("ChangeSetType") or "UPDATE"
        if kind not in ("CREATE", "UPDATE"):
            raise ValidationError(f"the embedded AWS does not do change sets of type {kind}")
        with self._lock:
            if kind == "CREATE":
                stack = self._reviewed(account, region, stack_name)
            else:
                stack = self.find(account, region, stack_name)
                _check_updatable(stack)
            if name in stack.change_sets:
                raise AlreadyExists(f"ChangeSet {name} already exists")
            desired = self._desired(stack, options)
            changes = find_changes(stack, desired)
            failure = None if differs(stack, desired, changes) else NO_CHANGES
            change_set = ChangeSet(
                name=name,
                id=f"arn:{stack.partition}:cloudformation:{region}:{account}:changeSet/{name}/{uuid.uuid4()}",
                type=kind,
                description=options.get("Description"),
                options=dict(options),
                desired=desired,
                changes=changes,
                failure=failure,
            )
            if stack not in self._stacks:
                self._stacks.append(stack)
                stack.set_status("REVIEW_IN_PROGRESS", "User Initiated")
            stack.change_sets[name] = change_set
        return stack, change_set

    def find_change_set(
        self, account: str, region: str, name_or_id: str, stack_name: str | None
    ) -> tuple[Stack, ChangeSet]:
        """A change set by id, or by name and stack. ChangeSetNotFound if it isn't there."""
        stacks = [self.find(account, region, stack_name)] if stack_name else self.listed(account, region)
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if name_or_id in (change_set.name, change_set.id):
                    return stack, change_set
        raise ChangeSetNotFound(name_or_id)

    def execute(self, stack: Stack, change_set: ChangeSet) -> None:
        """ExecuteChangeSet: all change sets of the stack are gone then, as they no longer fit."""
        with self._lock:
            if change_set.failure is not None or stack.busy:
                raise ValidationError(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [FAILED]"
                    if change_set.failure
                    else f"Stack:{stack.id} is in {stack.status} state and can not be updated."
                )
            stack.change_sets.clear()
            self._configure(stack, change_set.options)
            desired = change_set.desired
            if change_set.type == "CREATE":
                self._start(stack, "CREATE_IN_PROGRESS", lambda executor: executor.create(desired))
            else:
                self._start(stack, "UPDATE_IN_PROGRESS", lambda executor: executor.update(desired))

    def template_body(self, account: str, region: str, options: Mapping[str, Json]) -> str:
        """The template of a request: given as it is, or by the URL of an object in S3."""
        if options.get("TemplateBody"):
            return str(options["TemplateBody"])
        if not options.get("TemplateURL"):
            raise ValidationError("Either Template URL or Template Body must be specified.")
        bucket, key = self._object_of(options["TemplateURL"])
        try:
            stored = self._cloud.client("s3", region, account).get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise ValidationError(f"S3 error: {error}") from None
        return bytes(stored["Body"].read()).decode()

    def _object_of(self, url: str) -> tuple[str, str]:
        parts = urlsplit(url)
        path = unquote(parts.path).lstrip("/")
        if parts.netloc == urlsplit(self._cloud.endpoint_url).netloc or parts.netloc.startswith("s3"):
            bucket, _, key = path.partition("/")
            return bucket, key
        return parts.netloc.split(".")[0], path

    def _desired(self, stack: Stack, options: Mapping[str, Json]) -> Desired:
        if options.get("DisableRollback"):
            raise ValidationError("the embedded AWS always rolls back what failed, got DisableRollback true")
        deployed = stack.deployed
        if options.get("UsePreviousTemplate") and deployed is not None:
            body = deployed.body
        else:
            body = self.template_body(stack.account, stack.region, options)
        template = parse(body)
        given = {}
        for parameter in options.get("Parameters") or []:
            name = parameter["ParameterKey"]
            if not parameter.get("UsePreviousValue"):
                given[name] = parameter["ParameterValue"]
            elif deployed is not None and name in deployed.parameters:
                given[name] = deployed.parameters[name]
            # Otherwise the default was used before: it is again, even if it names an SSM parameter.
        ssm = self._cloud.client("ssm", stack.region, stack.account)

        def ssm_parameter(name: str) -> str:
            try:
                return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
            except ClientError:
                raise ValidationError(
                    f"Unable to fetch parameters [{name}] from parameter store for this account."
                ) from None

        values = {**parameter_values(template, given, ssm_parameter), **stack.pseudo_parameters()}
        tags = {tag["Key"]: tag["Value"] for tag in options.get("Tags") or []}
        return Desired(body, template, given, values, tags)

    def _configure(self, stack: Stack, options: Mapping[str, Json]) -> None:
        stack.capabilities = list(options.get("Capabilities") or [])
        stack.role_arn = options.get("RoleARN") or stack.role_arn
        if options.get("EnableTerminationProtection") is not None:
            stack.termination_protection = bool(options["EnableTerminationProtection"])

    def _new(self, account: str, region: str, name: str) -> Stack:
        if any(stack.name == name for stack in self.listed(account, region)):
            raise AlreadyExists(f"Stack [{name}] already exists")
        return Stack(name, account, region, get_partition(region))

    def _reviewed(self, account: str, region: str, name: str) -> Stack:
        for stack in self.listed(account, region):
            if name in (stack.name, stack.id) and stack.status == "REVIEW_IN_PROGRESS":
                return stack
        return self._new(account, region, name)

    def _start(self, stack: Stack, status: str, run: Callable[[Executor], None]) -> None:
        if status == "UPDATE_IN_PROGRESS":
            stack.updated = datetime.now(UTC)
        stack.set_status(status, "User Initiated")
        executor = Executor(self._cloud, stack, self._resource_type)

        def work() -> None:
            try:
                run(executor)
            except Stopped:
                _log.info("stack %s stays in %s: the embedded AWS stops", stack.name, stack.status)
            except Exception as error:
                _log.exception("stack %s", stack.name)
                failed = status.replace("IN_PROGRESS", "FAILED")
                stack.set_status(failed, f"the embedded AWS failed: {error!r}")

        self._cloud.spawn(f"stack {stack.name}", work)


def _check_updatable(stack: Stack) -> None:
    if stack.status not in _UPDATABLE:
        raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
