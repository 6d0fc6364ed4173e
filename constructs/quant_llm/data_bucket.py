"""The bucket of what callers ask and are answered, where an agency keeps any of it."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from quant_llm.acknowledge import acknowledge


class DataBucket(Construct):
    """A bucket under a key that is not the weights': TLS only, nothing public, everything in it is deleted.

    `keep_days` has the prefixes and the days after which what is under them goes. The bucket outlives its
    stack, since it is not empty then.
    """

    def __init__(self, scope: Construct, construct_id: str, *, keep_days: Mapping[str, int]) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            description=f"Requests and answers of {cdk.Stack.of(self).stack_name}",
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
                s3.LifecycleRule(
                    id="abort-incomplete-uploads",
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(2),
                ),
                *(
                    s3.LifecycleRule(
                        id=f"expire-{prefix.strip('/').replace('/', '-')}",
                        prefix=prefix,
                        expiration=cdk.Duration.days(days),
                        noncurrent_version_expiration=cdk.Duration.days(1),
                    )
                    for prefix, days in keep_days.items()
                ),
            ],
        )
        no_access_logs = (
            "Who reads what callers asked is recorded by CloudTrail data events, which an agency turns on "
            "for its account. Server access logs would add a bucket and say less: they are best effort."
        )
        acknowledge(self.bucket, "AwsSolutions-S1", no_access_logs)
        acknowledge(self.bucket, "NIST.800.53.R5-S3BucketLoggingEnabled", no_access_logs)
        acknowledge(
            self.bucket,
            "NIST.800.53.R5-S3BucketReplicationEnabled",
            "What callers asked is kept for days, not for ever: a copy elsewhere would outlive its deletion.",
        )

    def url(self, prefix: str) -> str:
        """`s3://…/<prefix>`."""
        return self.bucket.s3_url_for_object(prefix)

    def grant(
        self, grantee: iam.IGrantable, *, read: tuple[str, ...] = (), write: tuple[str, ...] = ()
    ) -> None:
        """Let someone read what is under some prefixes and write under others."""
        for prefixes, action, key_actions in (
            (read, "s3:GetObject", ("kms:Decrypt",)),
            (write, "s3:PutObject", ("kms:Decrypt", "kms:GenerateDataKey")),
        ):
            if prefixes:
                iam.Grant.add_to_principal(
                    grantee=grantee,
                    actions=[action],
                    resource_arns=[self.bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes],
                )
                self.key.grant(grantee, *key_actions)
