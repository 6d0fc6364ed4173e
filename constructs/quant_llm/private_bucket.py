"""What the stack's buckets have in common: a key of their own, TLS only, nothing public, never deleted."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from quant_llm.acknowledge import acknowledge


def private_bucket(
    scope: Construct,
    *,
    holds: str,
    expire_days: Mapping[str, tuple[str, int]],
    read_by_whom: str,
    no_replication: str,
) -> tuple[kms.Key, s3.Bucket]:
    """The key `Key` and the versioned bucket `Resource` of a construct.

    `holds` is said of the key. `expire_days` has the prefix and the days after which what is under it goes,
    by the name of the rule. `read_by_whom` is what CloudTrail records in the place of access logs, and
    `no_replication` the reason for having no copy elsewhere.
    """
    key = kms.Key(
        scope,
        "Key",
        description=f"{holds} of {cdk.Stack.of(scope).stack_name}",
        enable_key_rotation=True,
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    bucket = s3.Bucket(
        scope,
        "Resource",
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
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
            *(
                s3.LifecycleRule(
                    id=name,
                    prefix=prefix,
                    expiration=cdk.Duration.days(days),
                    noncurrent_version_expiration=cdk.Duration.days(1),
                )
                for name, (prefix, days) in expire_days.items()
            ),
        ],
    )
    no_access_logs = (
        f"{read_by_whom} is recorded by CloudTrail data events, which an agency turns on for its account. "
        "Server access logs would add a bucket and say less: they are best effort."
    )
    acknowledge(bucket, "AwsSolutions-S1", no_access_logs)
    acknowledge(bucket, "NIST.800.53.R5-S3BucketLoggingEnabled", no_access_logs)
    acknowledge(bucket, "NIST.800.53.R5-S3BucketReplicationEnabled", no_replication)
    return key, bucket
