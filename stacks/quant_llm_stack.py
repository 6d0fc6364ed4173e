"""One agency: its bucket, images, artifacts and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from constructs import Construct

from quant_llm.acknowledge import acknowledge_for_stack
from quant_llm.agency import AgencyConfig, ModelConfig, ModelLock, QuantiseLock
from quant_llm.callers_data import keep_days
from quant_llm.catalogue import Placement, explained, place
from quant_llm.data_bucket import DataBucket
from quant_llm.endpoint_watch import DeployWatch, EndpointWatch, version_of
from quant_llm.engine_image import EngineImage
from quant_llm.engines import BUILDS, JOB_BUILDS, EngineBuild, container_environment, existing_image
from quant_llm.image_settings import ImageSettings
from quant_llm.llm_endpoint import LlmEndpoint
from quant_llm.model_artifact import ModelArtifact
from quant_llm.model_bucket import ModelBucket
from quant_llm.names import AGENCY_TAG, pascal_case
from quant_llm.observability import Observability
from quant_llm.production_variant import scaling_of_configuration
from quant_llm.quantise import QuantiseJob
from quant_llm.repack import Repack
from quant_llm.request_metrics import request_metrics


class QuantLlmStack(cdk.Stack):
    """What one agency file turns into.

    `locks` holds the lock of each of its models, `recipes` that of each of its recipes, by name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        agency: AgencyConfig,
        locks: Mapping[str, ModelLock],
        recipes: Mapping[str, QuantiseLock] | None = None,
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
        self._repack = Repack(self, "Repack", bucket=self._models, hub=agency.hub, network=agency.network)
        self._watch = EndpointWatch(self, "EndpointWatch", agency=agency, placements=placements)
        kept = keep_days(agency)
        self._data = DataBucket(self, "Data", keep_days=kept) if kept else None
        cdk.CfnOutput(self, "ModelBucketName", value=self._models.bucket.bucket_name)
        self._recipes = recipes or {}
        for recipe in agency.quantise:
            QuantiseJob(
                self,
                f"Quantise-{recipe.name}",
                recipe=recipe,
                lock=self._recipes[recipe.name],
                repack=self._repack,
                image=self._built(JOB_BUILDS[recipe.method]),
            )
        for model in agency.models:
            self._serve(agency, agency.deployed(model), locks[model.name], placements[model.name])
        observability = Observability(self, "Observability", agency=agency, placements=placements)
        if observability.topic is not None:
            self._watch.notify(observability.topic)

    def _serve(self, agency: AgencyConfig, model: ModelConfig, lock: ModelLock, placement: Placement) -> None:
        scope = Construct(self, model.name)
        if placement.choice is not None:
            chosen = explained(agency, placement.choice)
            cdk.Annotations.of(scope).add_info_v2("quant-llm:instance-type", chosen)
        if model not in agency.models:
            fallback = f"min: 0 is 1: {agency.environment.region} has no inference components"
            cdk.Annotations.of(scope).add_warning_v2("quant-llm:without-zero", fallback)
        artifact = ModelArtifact(
            scope, "Artifact", model=model, lock=lock, repack=self._repack, made_at=self._made_at(model)
        )
        image, repository = self._image(scope, model)
        requests = request_metrics(agency, model)
        told = {} if requests is None else requests.environment
        endpoint = LlmEndpoint(
            scope,
            "Endpoint",
            name=agency.endpoint_name(model),
            model=model,
            artifact=artifact,
            image=image,
            environment={**container_environment(model, lock, placement), **told},
            placement=placement,
            network=agency.network,
            data=self._data,
            p90_latency_seconds=agency.p90_latency_seconds(model),
        )
        repository.grant_pull(endpoint.role)
        DeployWatch(
            scope,
            "Watch",
            watch=self._watch,
            target=endpoint.target,
            version=version_of(
                model.model_dump(mode="json", exclude={"scaling"}),
                scaling_of_configuration(model),
                None if agency.network is None else agency.network.model_dump(mode="json"),
                artifact.key,
                self._version_of_image(model),
                told,
                asdict(replace(placement, choice=None)),  # prices change more often than what they lead to
            ),
        )
        title = pascal_case(model.name)
        cdk.CfnOutput(self, f"{title}EndpointName", value=endpoint.endpoint_name)
        if endpoint.scales_to_zero:
            cdk.CfnOutput(self, f"{title}InferenceComponentName", value=endpoint.endpoint_name)
        if endpoint.requests is not None:
            cdk.CfnOutput(self, f"{title}InputUrl", value=endpoint.requests.input_url)
            cdk.CfnOutput(self, f"{title}SuccessTopicArn", value=endpoint.requests.success.topic_arn)
            cdk.CfnOutput(self, f"{title}ErrorTopicArn", value=endpoint.requests.error.topic_arn)
        cdk.CfnOutput(self, f"{title}ModelDataUrl", value=artifact.url)

    def _version_of_image(self, model: ModelConfig) -> str:
        """The image by its content or its name: an image that is built has its URI when it is deployed."""
        return existing_image(model, self.region) or self._images[model.engine].tag

    def _image(self, scope: Construct, model: ModelConfig) -> tuple[str, ecr.IRepository]:
        """URI and repository of the image: one that exists already, or the engine's, built once a stack."""
        if existing := existing_image(model, self.region):
            return existing, _repository_of(scope, existing)
        built = self._built(BUILDS[model.engine])
        return built.uri, built.repository

    def _built(self, build: EngineBuild) -> EngineImage:
        """The image of a build, once a stack."""
        if build.engine not in self._images:
            self._images[build.engine] = EngineImage(
                self,
                f"Image-{build.folder if build.engine in BUILDS else build.engine}",
                build=build,
                key=self._models.key,
                settings=self._image_settings,
            )
        return self._images[build.engine]

    def _made_at(self, model: ModelConfig) -> str | None:
        """Where a quantise job has left the model's files; None for those of the hub."""
        recipe = self._recipes.get(model.source.quantised or "")
        return None if recipe is None or recipe.result is None else recipe.result.prefix


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
