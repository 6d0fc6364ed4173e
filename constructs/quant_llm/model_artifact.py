"""From the lock to `model.tar.gz` in the bucket: the repack function, and one custom resource per model."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from quant_llm.agency import ModelConfig, ModelLock
from quant_llm.model_bucket import ModelBucket
from quant_llm.names import artifact_key
from quant_llm.python_function import PythonFunction
from quant_llm_repack.request import ArtifactRequest, SourceFile


class Repack(Construct):
    """The function that streams a model from the hub into the bucket, shared by the models of a stack.

    Memory: at 1,769 MiB a function has one whole CPU; hashing needs the CPU, not the memory.
    """

    def __init__(self, scope: Construct, construct_id: str, *, bucket: ModelBucket) -> None:
        super().__init__(scope, construct_id)
        self.bucket = bucket
        self.handler = PythonFunction(
            self,
            "Function",
            package="quant_llm_repack",
            description="Repacks the files of a lock into model.tar.gz and verifies every byte",
            timeout=cdk.Duration.minutes(15),
            memory_mib=1769,
        )
        bucket.grant_publish(self.handler.role)


class ModelArtifact(Construct):
    """One model's artifact: the stack waits here until it is in the bucket, verified against the lock.

    What depends on this construct starts after that. Nothing is removed when the stack goes.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, model: ModelConfig, lock: ModelLock, repack: Repack
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = repack.bucket
        self.key = artifact_key(model.name, lock.digest)
        function = repack.handler.function
        token_secret_arn = None
        if model.source.token_secret is not None:
            secret = secretsmanager.Secret.from_secret_name_v2(self, "Token", model.source.token_secret)
            secret.grant_read(repack.handler.role)
            token_secret_arn = secret.secret_arn
        request = ArtifactRequest(
            repository=model.source.hub,
            commit=lock.commit,
            files=tuple(
                SourceFile(path=file.path, size=file.size, sha256=file.sha256) for file in lock.files
            ),
            bucket=self.bucket.bucket.bucket_name,
            key=self.key,
            token_secret_arn=token_secret_arn,
        )
        resource = cdk.CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type="Custom::ModelArtifact",
            properties=request.to_properties(),
            # The function answers within its own 15 minutes; without this a lost answer blocks for an hour.
            service_timeout=cdk.Duration.minutes(20),
        )
        # Its permissions are made beside the function, not by it: deploy them first, remove them last.
        resource.node.add_dependency(repack)

    @property
    def url(self) -> str:
        """`s3://…/model.tar.gz`, known at synth up to the bucket's generated name."""
        return self.bucket.bucket.s3_url_for_object(self.key)
