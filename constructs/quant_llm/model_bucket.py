"""The bucket of one agency's model artifacts."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from quant_llm.names import ARTIFACT_PREFIX


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
            ],
        )

    def grant_publish(self, grantee: iam.IGrantable) -> None:
        """Let the repack write artifacts and see what is there, and nothing else; it can delete no object."""
        objects = f"{ARTIFACT_PREFIX}/*"
        self.bucket.grant_read(grantee, objects)
        self.bucket.grant_put(grantee, objects)
        grantee.grant_principal.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["s3:ListMultipartUploadParts"], resources=[self.bucket.arn_for_objects(objects)]
            )
        )

    def grant_read_model(self, grantee: iam.IGrantable, model_name: str) -> None:
        """Let an endpoint read its own model's artifacts and no other model's."""
        self.bucket.grant_read(grantee, f"{ARTIFACT_PREFIX}/{model_name}/*")
