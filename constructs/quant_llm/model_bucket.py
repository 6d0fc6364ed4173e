"""The bucket of one agency's model artifacts."""

from __future__ import annotations

from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.names import ARTIFACT_PREFIX, WORK_PREFIX


class ModelBucket(Construct):
    """A versioned bucket under a key of its own: TLS only, nothing public, kept when the stack goes.

    The weights outlive the stack on purpose: they were verified and are slow to bring back, and an older
    commit of the agency file must find its own.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            description=f"Model artifacts of {cdk.Stack.of(self).stack_name}",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        self.bucket = s3.Bucket(
            self,
            "Resource",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[
                # Parts of a broken upload are billed and shown nowhere.
                s3.LifecycleRule(
                    id="abort-incomplete-uploads",
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(2),
                ),
                # The notes of a repack that was cut off; one that ends removes its own.
                s3.LifecycleRule(
                    id="expire-work-records",
                    prefix=f"{WORK_PREFIX}/",
                    expiration=cdk.Duration.days(7),
                    noncurrent_version_expiration=cdk.Duration.days(1),
                ),
            ],
        )

        no_access_logs = (
            "Who reads the weights is recorded by CloudTrail data events, which an agency turns on for its "
            "account. Server access logs would add a bucket and say less: they are best effort."
        )
        acknowledge(self.bucket, "AwsSolutions-S1", no_access_logs)
        acknowledge(self.bucket, "NIST.800.53.R5-S3BucketLoggingEnabled", no_access_logs)
        acknowledge(
            self.bucket,
            "NIST.800.53.R5-S3BucketReplicationEnabled",
            "Every artifact can be made again, byte for byte, from its lock. A copy elsewhere would hold the "
            "weights in one more region for nothing.",
        )

    def grant_publish(self, role: iam.Role) -> None:
        """Let the repack write artifacts, see what is there and keep notes; it can delete no artifact."""
        self.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        self._grant_objects(
            role,
            ARTIFACT_PREFIX,
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
        )
        self._grant_objects(role, WORK_PREFIX, ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"])
        role.add_to_policy(
            iam.PolicyStatement(
                # Without ListBucket S3 answers 403 in place of 404 for an artifact that is not there yet.
                actions=["s3:ListBucket", "s3:ListBucketMultipartUploads"],
                resources=[self.bucket.bucket_arn],
            )
        )

    def grant_read_model(self, role: iam.Role, model_name: str, *, lists: bool = False) -> None:
        """Let an endpoint read its own model's artifacts and no other model's.

        With `lists` it may list them too: SageMaker finds the files of a prefix so, an archive it is named.
        """
        self.key.grant(role, "kms:Decrypt")
        self._grant_objects(role, f"{ARTIFACT_PREFIX}/{model_name}", ["s3:GetObject"])
        if lists:
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=["s3:ListBucket"],
                    resources=[self.bucket.bucket_arn],
                    conditions={"StringLike": {"s3:prefix": f"{ARTIFACT_PREFIX}/{model_name}/*"}},
                )
            )

    def _grant_objects(self, role: iam.Role, prefix: str, actions: list[str]) -> None:
        objects = self.bucket.arn_for_objects(f"{prefix}/*")
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[objects]))
        bucket = cast("cdk.CfnElement", self.bucket.node.default_child)
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::<{cdk.Stack.of(self).get_logical_id(bucket)}.Arn>/{prefix}/*]",
            "An artifact's key holds the digest of its lock: it changes with the weights, the prefix stays.",
        )
