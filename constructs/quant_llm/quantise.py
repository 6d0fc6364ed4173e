"""What a recipe of the agency file makes in a stack: its unquantised weights, a role, and an image."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from quant_llm.agency import QuantiseConfig, QuantiseLock
from quant_llm.endpoint_role import grant_hosting
from quant_llm.engine_image import EngineImage
from quant_llm.model_artifact import ModelArtifact
from quant_llm.names import PROCESSING_LOG_GROUP, quantise_output
from quant_llm.repack import Repack


class QuantiseJob(Construct):
    """Everything but the job itself, which `quantllm quantise` starts: a deploy makes no weights.

    The repack brings the unquantised weights into the bucket, verified against the lock, so the job needs no
    network, no token and no credentials in its container. Its role reads the recipe's source, and reads and
    writes under `quantised/<recipe>/`: never an artifact that an endpoint serves.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        recipe: QuantiseConfig,
        lock: QuantiseLock,
        repack: Repack,
        image: EngineImage,
    ) -> None:
        super().__init__(scope, construct_id)
        self.source = ModelArtifact(self, "Source", model=recipe, lock=lock.source, repack=repack)
        self.role = iam.Role(
            self,
            "Role",
            description=f"The jobs of the recipe {recipe.name}",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
        )
        repack.bucket.grant_quantise(self.role, recipe.name)
        streams = "SageMaker has one log group for all processing jobs, and a stream by the name of each job."
        grant_hosting(self.role, PROCESSING_LOG_GROUP, streams=streams)
        image.repository.grant_pull(self.role)
        stack = cdk.Stack.of(self)
        outputs = {
            "Role": self.role.role_arn,
            "Image": image.uri,
            "Source": self.source.url,
            "Key": repack.bucket.key.key_arn,
        }
        for what, value in outputs.items():
            cdk.CfnOutput(stack, quantise_output(recipe.name, what), value=value)
