"""An endpoint of the embedded SageMaker: the states it goes through and the variants it has."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from moto.core.utils import utcnow
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpoint, SageMakerModelBackend

from quant_llm_tools.local_aws.hosting_async import AsyncQueue
from quant_llm_tools.local_aws.hosting_capture import Capture
from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed
from quant_llm_tools.local_aws.hosting_events import tell_state
from quant_llm_tools.local_aws.hosting_settings import HostingSettings
from quant_llm_tools.local_aws.hosting_variant import HostedVariant

_log = logging.getLogger(__name__)

# What RetainAllVariantProperties of UpdateEndpoint keeps, and the fields of DescribeEndpoint for it.
_RETAINED = {
    "DesiredInstanceCount": ("CurrentInstanceCount", "DesiredInstanceCount"),
    "DesiredWeight": ("CurrentWeight", "DesiredWeight"),
}

Json = dict[str, Any]


class HostedEndpoint(FakeEndpoint):
    """moto's endpoint, with containers behind it.

    It begins in Creating. What changes its state runs in a thread of its own, one at a time.
    """

    def __init__(
        self,
        backend: SageMakerModelBackend,
        *,
        name: str,
        configuration: Json,
        tags: list[dict[str, str]],
        settings: HostingSettings,
    ) -> None:
        super().__init__(
            account_id=backend.account_id,
            region_name=backend.region_name,
            endpoint_name=name,
            endpoint_config_name=configuration["EndpointConfigName"],
            production_variants=configuration["ProductionVariants"],
            data_capture_config=configuration.get("DataCaptureConfig") or {},
            tags=tags,
        )
        self.account: str = backend.account_id
        self.region: str = backend.region_name
        self.settings = settings
        self.endpoint_status = "Creating"
        # Kept and described; an update changes over at once whatever it says.
        self.deployment_config: Json | None = None
        self.failure_reason: str | None = None  # type: ignore[assignment] # moto's never fails
        self.requests: AsyncQueue | None = None
        self.capture: Capture | None = None
        self._deployment: Json | None = None  # the one that is under way
        self._backend = backend
        self._serving: list[HostedVariant] = []
        self._all: list[HostedVariant] = []  # those that are starting or draining as well
        self._stopped = False
        self._changing = threading.Lock()
        self._worker = threading.Thread()
        self._deploys(configuration)
        self._tell()
        self.takes_components = _has_no_model(configuration)
        self._begin(lambda: self._create(configuration))

    @property
    def response_object(self) -> Json:
        """The answer of DescribeEndpoint."""
        serving = {variant.name: variant for variant in self._serving}
        fields = {
            "EndpointName": self.endpoint_name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.endpoint_config_name,
            "ProductionVariants": [
                {**summary, "DeployedImages": _deployed_images(serving.get(summary["VariantName"]))}
                for summary in self.production_variants
            ],
            "EndpointStatus": self.endpoint_status,
            "FailureReason": self.failure_reason,
            "LastDeploymentConfig": self.deployment_config,
            "PendingDeploymentSummary": self._deployment,
            "DataCaptureConfig": None if self.capture is None else self.capture.summary,
            "AsyncInferenceConfig": None if self.requests is None else self.requests.configuration,
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def instances(self) -> int:
        """The fewest instances that a variant has at this moment."""
        return min(int(summary["CurrentInstanceCount"]) for summary in self.production_variants)

    def is_created(self) -> bool:
        """Whether the first deployment has ended; moto asks for it."""
        return self.endpoint_status != "Creating"

    def redeploy(self, configuration: Json, *, retain: bool, excluded: Collection[str]) -> None:
        """Bring up another configuration beside the running one, and change over when it is healthy.

        `retain` keeps instance counts and weights, without the properties named in `excluded`.
        Raises ValidationError unless the endpoint is in service.
        """
        if self.takes_components != _has_no_model(configuration):
            raise ValidationError(
                "The embedded AWS does not change an endpoint of a model to one of inference components, nor "
                "back: delete it first. How SageMaker does is not documented."
            )
        self._leave(("InService",), "Updating", configuration)
        self._begin(lambda: self._change_over(configuration, retain, excluded))

    def delete(self, removed: Callable[[], None]) -> None:
        """End the containers, then call `removed`. Raises ValidationError while a change is under way."""
        self._leave(("InService", "Failed"), "Deleting")

        def work() -> None:
            self.stop()
            removed()

        self._begin(work)

    def set_capacities(self, desired: Sequence[Json]) -> None:
        """Set instance counts and weights by variant. The one container that serves stays what it is."""
        summaries = {summary["VariantName"]: summary for summary in self.production_variants}
        for wanted in desired:
            name = wanted["VariantName"]
            if name not in summaries:
                raise ValidationError(
                    f'The variant name(s) "{name}" is/are not present within endpoint configuration '
                    f'"{self.endpoint_config_name}".'
                )
        self._leave(("InService",), "Updating")
        for wanted in desired:
            for name, fields in _RETAINED.items():
                if name in wanted:
                    summaries[wanted["VariantName"]].update(dict.fromkeys(fields, wanted[name]))
        self._arrive("InService")

    def wait_until_settled(self) -> None:
        """Block until the change that is under way has ended."""
        self._worker.join()

    def choose(self, target: str | None) -> HostedVariant | None:
        """A variant for one request, by weight or by name; None if nothing is in service."""
        serving = [variant for variant in self._serving if target in (None, variant.name)]
        if not serving:
            return None
        weights = {item["VariantName"]: item["CurrentWeight"] for item in self.production_variants}
        shares = [weights[variant.name] for variant in serving]
        if not any(shares):
            return serving[0]
        return random.choices(serving, shares)[0]  # noqa: S311 - spreads load, no secret

    def has_variant(self, name: str) -> bool:
        """Whether the endpoint's configuration has a variant of this name."""
        return any(summary["VariantName"] == name for summary in self.production_variants)

    def stop(self) -> None:
        """End every container of the endpoint, also those that are only starting."""
        with self._changing:
            self._stopped = True
            self._serving, variants, self._all = [], self._all, []
        if self.requests is not None:
            self.requests.stop()
        in_parallel([variant.stop for variant in variants])

    def _begin(self, work: Callable[[], None]) -> None:
        self._worker = threading.Thread(target=work, name=f"endpoint {self.endpoint_name}", daemon=True)
        self._worker.start()

    def _leave(self, allowed: Collection[str], status: str, configuration: Json | None = None) -> None:
        with self._changing:
            if self.endpoint_status not in allowed:
                raise ValidationError(f'Cannot update in-progress or failed endpoint "{self.arn}".')
            self._arrive(status)
            if configuration is not None:
                self._deploys(configuration)

    def _arrive(self, status: str, reason: str | None = None) -> None:
        self.failure_reason = reason
        self._deployment = None
        self.endpoint_status = status
        self.last_modified_time = utcnow()
        _log.info("endpoint %s: %s%s", self.endpoint_name, status, f": {reason}" if reason else "")
        self._tell()

    def _deploys(self, configuration: Json) -> None:
        """Note the deployment that is under way, as DescribeEndpoint tells of it."""
        variants = [{"VariantName": entry["VariantName"]} for entry in configuration["ProductionVariants"]]
        name = configuration["EndpointConfigName"]
        self._deployment = {
            "EndpointConfigName": name,
            "ProductionVariants": variants,
            "StartTime": utcnow(),
        }

    def _tell(self) -> None:
        tell_state(self, self.account, self.region)

    def _serves(self, configuration: Json) -> None:
        """Take over what a configuration says of requests."""
        queue, self.requests, self.capture = self.requests, None, None
        if queue is not None:
            queue.stop()
        if asynchronous := configuration.get("AsyncInferenceConfig"):
            self.requests = AsyncQueue(
                endpoint=self.endpoint_name,
                region=self.region,
                configuration=asynchronous,
                settings=self.settings,
                role=self._role(configuration),
                choose=lambda: self.choose(None),
            )
        if captured := configuration.get("DataCaptureConfig"):
            self.capture = Capture(
                endpoint=self.endpoint_name,
                region=self.region,
                configuration=captured,
                settings=self.settings,
                role=self._role(configuration),
            )

    def _role(self, configuration: Json) -> str:
        """Who handles callers' data: the configuration's role, which one without models has, or a model's."""
        return str(configuration.get("ExecutionRoleArn") or self._serving[0].role)

    def _create(self, configuration: Json) -> None:
        try:
            self._serving = self._deploy(configuration)
        except DeploymentFailed as error:
            self._arrive("Failed", str(error))
        else:
            self._serves(configuration)
            self._arrive("InService")

    def _change_over(self, configuration: Json, retain: bool, excluded: Collection[str]) -> None:
        try:
            fresh = self._deploy(configuration)
        except DeploymentFailed as error:
            self._arrive("InService", str(error))
            return
        drained, self._serving = self._serving, fresh
        summaries = self._process_production_variants(configuration["ProductionVariants"])
        if retain:
            _retain(self.production_variants, summaries, excluded)
        self.production_variants = summaries
        self.endpoint_config_name = configuration["EndpointConfigName"]
        self._serves(configuration)
        self._arrive("InService")
        in_parallel([variant.stop for variant in drained])
        self._forget(drained)

    def _deploy(self, configuration: Json) -> list[HostedVariant]:
        """The configuration's variants, healthy. Raises DeploymentFailed and leaves nothing running."""
        variants: list[HostedVariant] = []
        try:
            for entry in configuration["ProductionVariants"]:
                if "ModelName" not in entry:
                    continue  # its inference components bring the models
                definition, role = self.model(entry["ModelName"])
                variant = HostedVariant(
                    definition=definition,
                    role=role,
                    variant=entry,
                    account=self.account,
                    region=self.region,
                    endpoint=self.endpoint_name,
                    settings=self.settings,
                )
                variants.append(variant)
                self._remember(variant)
                variant.deploy()
        except Exception as error:
            for variant in variants:
                variant.stop(drain=False)  # no request has reached it
            self._forget(variants)
            if isinstance(error, DeploymentFailed):
                raise
            # An endpoint that stays in Creating for ever would hide the bug behind it.
            _log.exception("endpoint %s", self.endpoint_name)
            raise DeploymentFailed(f"The embedded AWS failed: {error!r}") from error
        return variants

    def _remember(self, variant: HostedVariant) -> None:
        with self._changing:
            if self._stopped:
                raise DeploymentFailed("The endpoint is being deleted.")
            self._all.append(variant)

    def _forget(self, variants: Collection[HostedVariant]) -> None:
        with self._changing:
            self._all = [variant for variant in self._all if variant not in variants]

    def model(self, model_name: str) -> tuple[Json, str]:
        """The one container of a Model, and the ARN of its execution role.

        Raises DeploymentFailed if there is no Model, or another number of containers.
        """
        try:
            model = self._backend.describe_model(model_name)
        except ValidationError as error:
            raise DeploymentFailed(str(error)) from error
        definitions: list[Json] = [model.primary_container] if model.primary_container else model.containers
        if len(definitions) != 1:
            raise DeploymentFailed(
                f"The embedded AWS hosts models of one container, '{model_name}' has {len(definitions)}."
            )
        return definitions[0], model.execution_role_arn

    def _process_production_variants(self, production_variants: list[Json]) -> list[Json]:
        """moto's summaries, with SageMaker's weight where the configuration gives none."""
        summaries: list[Json] = super()._process_production_variants(production_variants)
        return [{"CurrentWeight": 1.0, "DesiredWeight": 1.0, **summary} for summary in summaries]


def _has_no_model(configuration: Json) -> bool:
    """Whether it is of inference components."""
    return any("ModelName" not in entry for entry in configuration["ProductionVariants"])


def _deployed_images(variant: HostedVariant | None) -> list[dict[str, str | None]]:
    if variant is None:
        return []
    return [{"SpecifiedImage": variant.image_uri, "ResolvedImage": variant.resolved_image}]


def _retain(before: Sequence[Json], after: Sequence[Json], excluded: Collection[str]) -> None:
    """Carry the retained fields of the variants over to those of the same name."""
    kept = [field for name, fields in _RETAINED.items() if name not in excluded for field in fields]
    old: Mapping[str, Json] = {summary["VariantName"]: summary for summary in before}
    for summary in after:
        summary.update(
            {field: value for field, value in old.get(summary["VariantName"], {}).items() if field in kept}
        )


def in_parallel(calls: Sequence[Callable[[], None]]) -> None:
    """Make all calls at once and wait until the last has returned."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
