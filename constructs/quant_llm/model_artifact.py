"""From the lock to the model in the bucket: what a stack waits for, per model."""

from __future__ import annotations

from typing import Protocol

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from quant_llm.agency import AdapterLock, Artifact, LockedFile, ModelLock, SourceConfig
from quant_llm.names import S3_PREFIX, artifact_key
from quant_llm.repack import Repack
from quant_llm_repack.request import ArtifactRequest, Origin, SourceFile


class Wanted(Protocol):
    """Whose weights an artifact has: a model's, or the unquantised ones of a recipe."""

    @property
    def name(self) -> str:
        """The folder of the artifact."""
        ...

    @property
    def source(self) -> SourceConfig:
        """Where the weights come from."""
        ...

    @property
    def token_secret(self) -> str | None:
        """The secret with the hub's token."""
        ...

    @property
    def artifact(self) -> Artifact:
        """The format in the bucket."""
        ...


class ModelArtifact(Construct):
    """One model's artifact: the stack waits here until it is in the bucket, verified against the lock.

    The files come from the hub, or from the folder `made_at` of the bucket where a quantise job left them.

    What depends on this construct starts after that. Nothing is removed when the stack goes.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        model: Wanted,
        lock: ModelLock,
        repack: Repack,
        made_at: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = repack.bucket
        self.is_prefix = model.artifact == S3_PREFIX
        self.key = artifact_key(model.name, lock.digest, model.artifact)
        function = repack.handler.function
        token_secret_arn = None
        if model.token_secret is not None:
            secret = secretsmanager.Secret.from_secret_name_v2(self, "Token", model.token_secret)
            secret.grant_read(repack.handler.role)
            token_secret_arn = secret.secret_arn
        if model.source.quantised is not None:
            repack.bucket.grant_read_result(repack.handler.role, model.source.quantised)
        request = ArtifactRequest(
            repository=model.source.hub,
            commit=lock.commit,
            files=(
                *(SourceFile(path=file.path, size=file.size, sha256=file.sha256) for file in lock.files),
                *(
                    _adapter_file(name, one, file)
                    for name, one in lock.adapters.items()
                    for file in one.files
                ),
            ),
            bucket=self.bucket.bucket.bucket_name,
            key=self.key,
            token_secret_arn=token_secret_arn,
            source_prefix=made_at,
        )
        # A custom resource may take an hour, a wait condition twelve. A condition can't be waited for again,
        # so each artifact has its own: new weights or another format, new ids.
        name = f"{lock.digest[:16]}{'Files' if self.is_prefix else ''}"
        handle = cdk.CfnWaitConditionHandle(self, f"Handle{name}")
        started = cdk.CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type="Custom::ModelArtifact",
            properties={**request.to_properties(), "WaitHandle": handle.ref},
            # It only starts the repack; without this a lost answer blocks for an hour.
            service_timeout=cdk.Duration.minutes(5),
        )
        # Its permissions are made beside the function, not by it: deploy them first, remove them last.
        started.node.add_dependency(repack)
        published = cdk.CfnWaitCondition(
            self,
            f"Published{name}",
            handle=handle.ref,
            timeout=str(cdk.Duration.hours(12).to_seconds()),
        )
        published.node.add_dependency(started)

    @property
    def url(self) -> str:
        """`s3://…/model.tar.gz` or `s3://…/files/`, known at synth up to the bucket's generated name."""
        return self.bucket.bucket.s3_url_for_object(self.key)


def _adapter_file(name: str, adapter: AdapterLock, file: LockedFile) -> SourceFile:
    return SourceFile(
        path=adapter.artifact_path(name, file),
        size=file.size,
        sha256=file.sha256,
        origin=Origin(repository=adapter.source.hub, commit=adapter.commit, path=file.path),
    )
