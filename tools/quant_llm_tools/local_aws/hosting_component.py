"""An inference component of the embedded SageMaker: a model on an endpoint, with copies that come and go."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from moto.core.utils import utcnow
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.utils import arn_formatter

from quant_llm_tools.local_aws.hosting_endpoint import HostedEndpoint
from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed
from quant_llm_tools.local_aws.hosting_variant import HostedVariant

_log = logging.getLogger(__name__)

Json = dict[str, Any]

LOG_GROUP = "/aws/sagemaker/InferenceComponents/"


class HostedComponent:
    """A component with one container behind it, whatever the number of copies; with none for no copy.

    What changes its state runs in a thread of its own, one at a time. `serving` answers the requests, None
    while no copy is in service.
    """

    def __init__(
        self, endpoint: HostedEndpoint, *, name: str, specification: Json, copies: int, tags: list[Any]
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.arn = arn_formatter("inference-component", name, endpoint.account, endpoint.region)
        self.tags = tags
        self.status = "Creating"
        self.failure_reason: str | None = None
        self.serving: HostedVariant | None = None
        self.deployment_config: Json | None = None
        self._specification = specification
        self._desired = copies
        self._current = 0
        self._created = self._modified = utcnow()
        self._starting: HostedVariant | None = None
        self._stopped = False
        self._changing = threading.Lock()
        self._worker = threading.Thread()
        self._begin(lambda: self._deploy(specification, failed="Failed"))

    @property
    def copies(self) -> int:
        """Copies in service."""
        return self._current

    @property
    def summary(self) -> Json:
        """The entry of ListInferenceComponents."""
        return {
            "InferenceComponentName": self.name,
            "InferenceComponentArn": self.arn,
            "EndpointName": self.endpoint.endpoint_name,
            "EndpointArn": self.endpoint.arn,
            "VariantName": self.endpoint.production_variants[0]["VariantName"],
            "InferenceComponentStatus": self.status,
            "CreationTime": self._created,
            "LastModifiedTime": self._modified,
        }

    @property
    def description(self) -> Json:
        """The answer of DescribeInferenceComponent."""
        fields = {
            **self.summary,
            "Specification": self._specification,
            "RuntimeConfig": {"DesiredCopyCount": self._desired, "CurrentCopyCount": self._current},
            "LastDeploymentConfig": self.deployment_config,
            "FailureReason": self.failure_reason,
        }
        return copy.deepcopy({name: value for name, value in fields.items() if value is not None})

    def update(self, specification: Json, copies: int | None) -> None:
        """Bring up copies of another specification beside the running ones, and change over when healthy.

        Raises ValidationError unless the component is in service.
        """
        self._leave(("InService",), "Updating")
        if copies is not None:
            self._desired = copies
        self._begin(lambda: self._deploy(specification, failed="InService"))

    def scale(self, copies: int) -> None:
        """Set the number of copies: from none the container starts, to none it drains and ends.

        Raises ValidationError unless the component is in service.
        """
        self._leave(("InService",), "Updating")
        self._desired = copies
        self._begin(self._scale)

    def delete(self, removed: Callable[[], None]) -> None:
        """End the container, then call `removed`. Raises ValidationError while a change is under way."""
        self._leave(("InService", "Failed"), "Deleting")

        def work() -> None:
            self.stop()
            removed()

        self._begin(work)

    def stop(self) -> None:
        """End the container, also one that is only starting."""
        with self._changing:
            self._stopped = True
            running = [variant for variant in (self.serving, self._starting) if variant is not None]
            self.serving, self._current = None, 0
        for variant in running:
            variant.stop()

    def wait_until_settled(self) -> None:
        """Block until the change that is under way has ended."""
        self._worker.join()

    def _begin(self, work: Callable[[], None]) -> None:
        self._worker = threading.Thread(target=work, name=f"component {self.name}", daemon=True)
        self._worker.start()

    def _leave(self, allowed: Collection[str], status: str) -> None:
        with self._changing:
            if self.status not in allowed:
                raise ValidationError(
                    f'Cannot change inference component "{self.arn}" while it is in state {self.status}.'
                )
            self._arrive(status)

    def _arrive(self, status: str, reason: str | None = None) -> None:
        self.status, self.failure_reason = status, reason
        self._modified = utcnow()
        _log.info("component %s: %s%s", self.name, status, f": {reason}" if reason else "")

    def _deploy(self, specification: Json, *, failed: str) -> None:
        """Put the specification in the place of the old one; else end in `failed`, with the reason."""
        drained = self.serving
        try:
            self.endpoint.wait_until_settled()
            fresh = self._started(specification) if self._desired else None
        except DeploymentFailed as error:
            self._arrive(failed, str(error))
            return
        self._specification = specification
        self._serve(fresh)
        if drained is not None:
            drained.stop()
        self._arrive("InService")

    def _scale(self) -> None:
        reason = None
        if not self._desired and self.serving is not None:
            drained = self.serving
            self._serve(None)
            drained.stop()
        elif self._desired and self.serving is None:
            try:
                self._serve(self._started(self._specification))
            except DeploymentFailed as error:
                reason = str(error)
        self._current = self._desired if self.serving else 0
        self._arrive("InService", reason)

    def _serve(self, variant: HostedVariant | None) -> None:
        with self._changing:
            self.serving, self._starting = variant, None
            self._current = self._desired if variant else 0

    def _started(self, specification: Json) -> HostedVariant:
        """A healthy container of the specification. Raises DeploymentFailed and leaves nothing running."""
        definition, role = self.endpoint.model(specification["ModelName"])
        variant = HostedVariant(
            definition=definition,
            role=role,
            variant={
                "VariantName": self.endpoint.production_variants[0]["VariantName"],
                **specification.get("StartupParameters", {}),
            },
            account=self.endpoint.account,
            region=self.endpoint.region,
            endpoint=self.endpoint.endpoint_name,
            settings=self.endpoint.settings,
            log_group=f"{LOG_GROUP}{self.name}",
        )
        with self._changing:
            if self._stopped:
                raise DeploymentFailed("The inference component is being deleted.")
            self._starting = variant
        try:
            variant.deploy()
        except Exception as error:
            variant.stop(drain=False)  # no request has reached it
            if isinstance(error, DeploymentFailed):
                raise
            # A component that stays in Creating for ever would hide the bug behind it.
            _log.exception("component %s", self.name)
            raise DeploymentFailed(f"The embedded AWS failed: {error!r}") from error
        return variant
