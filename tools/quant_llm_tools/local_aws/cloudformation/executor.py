"""Runs the operations on a stack: create, update, rollback, clean-up, delete, with an event for each step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from moto.core.exceptions import ServiceException

from quant_llm_tools.local_aws.cloud import Cloud
from quant_llm_tools.local_aws.cloudformation.desired import Desired, outputs, resolved_properties
from quant_llm_tools.local_aws.cloudformation.intrinsics import Resolver
from quant_llm_tools.local_aws.cloudformation.schemas import replaces
from quant_llm_tools.local_aws.cloudformation.stack import Resource, Stack
from quant_llm_tools.local_aws.cloudformation.template import dependencies
from quant_llm_tools.local_aws.cloudformation.under_way import UnderWay
from quant_llm_tools.local_aws.resources.request import Request, ResourceType, ServiceRefused
from quant_llm_tools.local_aws.waiting import WAITERS, ResourceFailed

Json = Any
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The embedded AWS is going down: whatever runs ends where it is."""


class _Failed(Exception):
    """The operation cannot go on; the message is the stack's reason."""


class Executor:
    """Carries out one operation on one stack.

    Resources are begun one after the other. One that takes its time is waited for beside the others, and
    what needs it is begun after that.
    """

    def __init__(
        self, cloud: Cloud, stack: Stack, resource_type: Callable[[str], ResourceType | None]
    ) -> None:
        self._cloud = cloud
        self._stack = stack
        self._resource_type = resource_type
        # Resources before this operation touched them, None if there was none; in the order of touch.
        self._before: dict[str, Resource | None] = {}
        self._replaced: set[str] = set()
        # Physical resources that the stack no longer wants; they go once all others are well.
        self._leftovers: dict[str, Resource] = {}
        self._under_way = UnderWay(self._heed_stop)
        self._puts_off = False

    def create(self, desired: Desired) -> None:
        """Make all resources; after a failure remove what was made."""
        stack = self._stack
        stack.deployed = desired
        try:
            self._apply(desired)
        except _Failed as failure:
            stack.set_status("ROLLBACK_IN_PROGRESS", f"{failure} Rollback requested by user.")
            made = [(resource, _keeps_new(resource)) for resource in stack.resources.values()]
            failed = self._remove(reversed(made))
            stack.set_status("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", _not_deleted(failed))
        else:
            stack.set_status("CREATE_COMPLETE")

    def update(self, desired: Desired) -> None:
        """Bring the stack from what is deployed to what is desired; after a failure bring it back."""
        stack = self._stack
        # In the old order; a failure has to bring the policies in them back too.
        definitions = {name: resource.definition for name, resource in stack.resources.items()}
        try:
            wanted = self._apply(desired)
        except _Failed as failure:
            stack.set_status("UPDATE_ROLLBACK_IN_PROGRESS", f"{failure} ")
            self._roll_back(definitions)
            return
        stack.deployed = desired
        stack.set_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        unwanted = []
        for name in definitions:
            if name in self._leftovers:
                unwanted.append((self._leftovers[name], _keeps(self._leftovers[name], "UpdateReplacePolicy")))
            if name not in wanted:
                unwanted.append((stack.resources[name], _keeps(stack.resources[name], "DeletionPolicy")))
        self._remove(reversed(unwanted))
        stack.resources = {name: stack.resources[name] for name in wanted}
        stack.set_status("UPDATE_COMPLETE")

    def delete(self, retained: Iterable[str] = ()) -> None:
        """Remove all resources, the last made first; what fails stays and can be tried again."""
        stack, retained = self._stack, set(retained)
        resources = [
            (resource, resource.logical_id in retained or _keeps(resource, "DeletionPolicy"))
            for resource in stack.resources.values()
        ]
        failed = self._remove(reversed(resources))
        stack.set_status("DELETE_FAILED" if failed else "DELETE_COMPLETE", _not_deleted(failed))

    def _apply(self, desired: Desired) -> Mapping[str, Mapping[str, Json]]:
        stack = self._stack
        resolver = Resolver(desired.template, desired.values, stack.reference, stack.attribute)
        needed = dependencies(desired.template, resolver)
        wanted = {logical_id: desired.template["Resources"][logical_id] for logical_id in needed}
        todo = list(wanted)
        self._puts_off = True
        try:
            while todo or self._under_way.names:
                self._heed_stop()
                waited = {*todo, *self._under_way.names}
                ready = next((name for name in todo if not waited & {*needed[name]}), None)
                if ready is None:
                    self._take_ended()
                else:
                    todo.remove(ready)
                    self._apply_resource(ready, wanted[ready], desired, resolver)
            stack.outputs = outputs(desired.template, resolver)
        except ServiceException as error:
            raise _Failed(error.message) from None
        except _Failed:
            self._cancel()
            raise
        finally:
            self._puts_off = False
        return wanted

    def _take_ended(self) -> None:
        """Go on with the next resource that has ended, or fail with it."""
        ended, error = self._under_way.next_ended()
        self._heed_stop()
        if error is not None:
            self._fail(ended.resource, ended.doing, str(error))
        ended.resource.attributes = ended.request.attributes
        self._stack.set_resource_status(ended.resource, ended.status)

    def _cancel(self) -> None:
        """Give up what is under way, since another resource has failed."""
        for one in self._under_way.cancel():
            words = "creation" if one.doing == "CREATE" else "update"
            reason = f"Resource {words} cancelled"
            self._stack.set_resource_status(one.resource, f"{one.doing}_FAILED", reason)

    def _fail(self, resource: Resource, doing: str, reason: str) -> NoReturn:
        self._stack.set_resource_status(resource, f"{doing}_FAILED", reason)
        raise _Failed(
            f"The following resource(s) failed to {doing.lower()}: [{resource.logical_id}]."
        ) from None

    def _apply_resource(
        self, logical_id: str, definition: Mapping[str, Json], desired: Desired, resolver: Resolver
    ) -> None:
        stack = self._stack
        before = stack.resources.get(logical_id)
        doing = "UPDATE" if before else "CREATE"
        resource = stack.resources.setdefault(
            logical_id, Resource(logical_id, definition["Type"], definition, {})
        )
        self._before[logical_id] = before.copy() if before else None
        try:
            properties = resolved_properties(definition, desired, resolver)
            if before is None:
                stack.set_resource_status(resource, "CREATE_IN_PROGRESS")
                self._create(resource, properties)
            elif before.type != definition["Type"]:
                raise ResourceFailed("Update of resource type is not permitted.")
            elif properties == before.properties:
                del self._before[logical_id]
            else:
                self._change(resource, properties)
        except (ResourceFailed, ServiceException) as error:
            reason = error.message if isinstance(error, ServiceException) else str(error)
            self._fail(resource, doing, reason)
        resource.definition = definition

    def _change(self, resource: Resource, properties: dict[str, Json]) -> None:
        stack, before = self._stack, resource.copy()
        if not replaces(resource.type, before.properties, properties):
            stack.set_resource_status(resource, "UPDATE_IN_PROGRESS")
            self._update(resource, properties)
            return
        self._replaced.add(resource.logical_id)
        reason = "Requested update requires the creation of a new physical resource; hence creating one."
        stack.set_resource_status(resource, "UPDATE_IN_PROGRESS", reason)
        resource.physical_id = None
        self._create(resource, properties, replaced=before.properties)
        self._leftovers[resource.logical_id] = before

    def _create(
        self, resource: Resource, properties: dict[str, Json], replaced: Mapping[str, Json] | None = None
    ) -> None:
        in_progress = resource.status

        def identified(physical_id: str) -> None:
            resource.physical_id = physical_id
            self._stack.set_resource_status(resource, in_progress, "Resource creation Initiated")

        resource.properties, resource.attributes = properties, {}
        request = Request(
            self._cloud, self._stack, resource, properties, replaced=replaced, identified=identified
        )
        self._act(self._type_of(resource).create, request)
        self._finish(resource, request, in_progress.replace("IN_PROGRESS", "COMPLETE"))

    def _update(self, resource: Resource, properties: dict[str, Json]) -> None:
        before = resource.copy()
        request = Request(self._cloud, self._stack, resource, properties, old=before.properties)
        # What was asked for is what a rollback has to take back, even if it fails half-way.
        resource.properties = properties
        self._act(self._type_of(resource).update, request)
        if request.physical_id != before.physical_id:
            resource.physical_id = request.physical_id
            self._leftovers[resource.logical_id] = before
        self._finish(resource, request, "UPDATE_COMPLETE")

    def _act(self, act: Callable[[Request], None], request: Request) -> None:
        try:
            act(request)
        except (ResourceFailed, Stopped):
            raise
        except Exception as error:
            _log.exception("%s %s", request.type, request.logical_id)
            raise ResourceFailed(f"the embedded AWS failed on {request.type}: {error!r}") from error
        if unapplied := request.unapplied():
            raise ResourceFailed(f"the embedded AWS does not apply {unapplied[0]} of {request.type}")

    def _finish(self, resource: Resource, request: Request, status: str) -> None:
        resource.attributes = request.attributes
        wait = self._waits(resource, request)
        if wait is not None and self._puts_off:
            self._under_way.begin(resource, request, status, wait, asked_for=resource.type in WAITERS)
            return
        if wait is not None:
            wait()
        self._heed_stop()
        self._stack.set_resource_status(resource, status)

    def _waits(self, resource: Resource, request: Request) -> Callable[[], None] | None:
        """What blocks until the resource is ready; None for one that is ready when it has been made."""
        if resource.type in WAITERS:
            return lambda: WAITERS[resource.type](request.physical_id, self._stack.region)
        wait = getattr(self._type_of(resource), "wait", None)
        return None if wait is None else lambda: wait(request)

    def _roll_back(self, definitions: Mapping[str, Mapping[str, Json]]) -> None:
        """Give what was touched its old properties again, in the order of the old template."""
        stack = self._stack
        self._leftovers.clear()
        stuck = []
        for logical_id in definitions:
            before, resource = self._before.get(logical_id), stack.resources[logical_id]
            if before is None:
                continue
            if logical_id in self._replaced:
                self._leftovers[logical_id] = resource
                stack.resources[logical_id] = before
                stack.set_resource_status(before, "UPDATE_COMPLETE")
                continue
            stack.set_resource_status(resource, "UPDATE_IN_PROGRESS")
            try:
                if resource.properties != before.properties:
                    self._update(resource, before.properties)
                else:
                    stack.set_resource_status(resource, "UPDATE_COMPLETE")
            except ResourceFailed as error:
                stack.set_resource_status(resource, "UPDATE_FAILED", str(error))
                stuck.append(logical_id)
        for logical_id, definition in definitions.items():
            stack.resources[logical_id].definition = definition
        if stuck:
            reason = f"The following resource(s) failed to update: [{', '.join(stuck)}]. "
            stack.set_status("UPDATE_ROLLBACK_FAILED", reason)
            return
        stack.set_status("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        unwanted = []
        for logical_id, before in self._before.items():
            if logical_id in self._leftovers:
                unwanted.append((self._leftovers[logical_id], False))
            elif before is None:
                resource = stack.resources.pop(logical_id)
                unwanted.append((resource, _keeps_new(resource)))
        self._remove(reversed(unwanted))
        stack.set_status("UPDATE_ROLLBACK_COMPLETE")

    def _remove(self, resources: Iterator[tuple[Resource, bool]]) -> list[str]:
        """Remove each resource that is not to be kept; returns the logical ids of those that failed."""
        stack, failed = self._stack, []
        for resource, keep in resources:
            self._heed_stop()
            if resource.physical_id is None:
                self._forget(resource)
                continue
            if keep:
                stack.set_resource_status(resource, "DELETE_SKIPPED")
                self._forget(resource)
                continue
            stack.set_resource_status(resource, "DELETE_IN_PROGRESS")
            request = Request(self._cloud, stack, resource, resource.properties)
            request.accept_all()
            try:
                self._act(self._type_of(resource).delete, request)
            except ServiceRefused as refused:
                if not refused.not_found:
                    stack.set_resource_status(resource, "DELETE_FAILED", str(refused))
                    failed.append(resource.logical_id)
                    continue
            except ResourceFailed as error:
                stack.set_resource_status(resource, "DELETE_FAILED", str(error))
                failed.append(resource.logical_id)
                continue
            stack.set_resource_status(resource, "DELETE_COMPLETE")
            self._forget(resource)
        return failed

    def _forget(self, resource: Resource) -> None:
        if self._stack.resources.get(resource.logical_id) is resource:
            del self._stack.resources[resource.logical_id]

    def _type_of(self, resource: Resource) -> ResourceType:
        resource_type = self._resource_type(resource.type)
        if resource_type is None:
            raise ResourceFailed(f"the embedded AWS does not create {resource.type}")
        return resource_type

    def _heed_stop(self) -> None:
        if self._cloud.stopping.is_set():
            raise Stopped


def _keeps(resource: Resource, policy: str) -> bool:
    return str(resource.definition.get(policy, "Delete")).startswith("Retain")


def _keeps_new(resource: Resource) -> bool:
    """`Retain` holds even for what a failed operation has just made, `RetainExceptOnCreate` does not."""
    return resource.definition.get("DeletionPolicy") == "Retain"


def _not_deleted(failed: list[str]) -> str | None:
    return f"The following resource(s) failed to delete: [{', '.join(failed)}]. " if failed else None
