"""One agency: its bucket, images, artifacts and endpoints."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from quant_llm.acknowledge import acknowledge_for_stack
from quant_llm.agency import DEFAULT_P90_LATENCY_SECONDS, AgencyConfig, ModelConfig, ModelLock
from quant_llm.catalogue import Placement, explained, place
from quant_llm.engine_image import EngineImage
from quant_llm.engines import BUILDS, container_environment
from quant_llm.image_settings import ImageSettings
from quant_llm.llm_endpoint import LlmEndpoint
from quant_llm.model_artifact import ModelArtifact
from quant_llm.model_bucket import ModelBucket
from quant_llm.names import AGENCY_TAG, pascal_case
from quant_llm.observability import Observability
from quant_llm.repack import Repack


class QuantLlmStack(cdk.Stack):
    """What one agency file turns into. `locks` holds the lock of each of its models, by name."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        agency: AgencyConfig,
        locks: Mapping[str, ModelLock],
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=agency.stack_name,
            description=f"Private LLM endpoints of the agency {agency.agency}",
            env=cdk.Environment(account=agency.environment.account, region=agency.environment.region),
            permissions_boundary=None
            if agency.permissions_boundary is None
            else cdk.PermissionsBoundary.from_arn(agency.permissions_boundary),
        )
        acknowledge_for_stack(self)
        placements = place(agency, locks)
        for key, value in {AGENCY_TAG: agency.agency, **agency.tags}.items():
            cdk.Tags.of(self).add(key, value)
        self._images: dict[str, EngineImage] = {}
        self._image_settings = ImageSettings.from_context(self.node)
        self._models = ModelBucket(self, "Models")
        self._repack = Repack(self, "Repack", bucket=self._models)
        cdk.CfnOutput(self, "ModelBucketName", value=self._models.bucket.bucket_name)
        for model in agency.models:
            self._serve(agency, model, locks[model.name], placements[model.name])
        Observability(self, "Observability", agency=agency, placements=placements)

    def _serve(self, agency: AgencyConfig, model: ModelConfig, lock: ModelLock, placement: Placement) -> None:
        scope = Construct(self, model.name)
        if placement.choice is not None:
            chosen = explained(agency, placement.choice)
            cdk.Annotations.of(scope).add_info_v2("quant-llm:instance-type", chosen)
        artifact = ModelArtifact(scope, "Artifact", model=model, lock=lock, repack=self._repack)
        image, repository = self._image(scope, model)
        endpoint = LlmEndpoint(
            scope,
            "Endpoint",
            name=agency.endpoint_name(model),
            model=model,
            artifact=artifact,
            image=image,
            environment=container_environment(model, lock),
            placement=placement,
            network=agency.network,
            p90_latency_seconds=DEFAULT_P90_LATENCY_SECONDS
            if agency.alarms is None
            else agency.alarms.p90_latency_seconds,
        )
        repository.grant_pull(endpoint.role)
        title = pascal_case(model.name)
        cdk.CfnOutput(self, f"{title}EndpointName", value=endpoint.endpoint_name)
        cdk.CfnOutput(self, f"{title}ModelDataUrl", value=artifact.url)

    def _image(self, scope: Construct, model: ModelConfig) -> tuple[str, ecr.IRepository]:
        """URI and repository of the image: one that exists already, or the engine's, built once a stack."""
        if model.image is not None:
            return model.image, _repository_of(scope, model.image)
        if model.engine not in self._images:
            build = BUILDS[model.engine]
            self._images[model.engine] = EngineImage(
                self,
                f"Image-{build.folder}",
                build=build,
                key=self._models.key,
                settings=self._image_settings,
            )
        built = self._images[model.engine]
        return built.uri, built.repository


def _repository_of(scope: Construct, image: str) -> ecr.IRepository:
    """The repository in an ECR image URI: `<account>.dkr.ecr.<region>.<suffix>/<name>[:tag][@digest]`."""
    host, _, rest = image.partition("/")
    account, _, _, region = host.split(".")[:4]
    name = rest.partition("@")[0].partition(":")[0]
    arn = cdk.Stack.of(scope).format_arn(
        service="ecr", account=account, region=region, resource="repository", resource_name=name
    )
    return ecr.Repository.from_repository_attributes(
        scope, "ExistingImage", repository_arn=arn, repository_name=name
    )
