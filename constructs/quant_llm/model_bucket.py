"""The bucket of one agency's model artifacts."""

from __future__ import annotations

from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.names import ARTIFACT_PREFIX, QUANTISED_PREFIX, WORK_PREFIX
from quant_llm.private_bucket import private_bucket


class ModelBucket(Construct):
    """A versioned bucket under a key of its own: TLS only, nothing public, kept when the stack goes.

    The weights outlive the stack on purpose: they were verified and are slow to bring back, and an older
    commit of the agency file must find its own.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.key, self.bucket = private_bucket(
            self,
            holds="Model artifacts",
            # The notes of a repack that was cut off; one that ends removes its own.
            expire_days={"expire-work-records": (f"{WORK_PREFIX}/", 7)},
            read_by_whom="Who reads the weights",
            no_replication="Every artifact can be made again, byte for byte, from its lock. A copy elsewhere "
            "would hold the weights in one more region for nothing.",
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

    def grant_quantise(self, role: iam.Role, recipe_name: str) -> None:
        """Let a job read its recipe's source, and read and write what its own recipe's jobs have."""
        self.grant_read_model(role, recipe_name, lists=True)
        self.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        prefix = f"{QUANTISED_PREFIX}/{recipe_name}"
        self._grant_objects(role, prefix, ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"])
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[self.bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": f"{prefix}/*"}},
            )
        )

    def grant_read_result(self, role: iam.Role, recipe_name: str) -> None:
        """Let the repack read what a recipe's jobs have made."""
        self._grant_objects(role, f"{QUANTISED_PREFIX}/{recipe_name}", ["s3:GetObject"])

    def _grant_objects(self, role: iam.Role, prefix: str, actions: list[str]) -> None:
        objects = self.bucket.arn_for_objects(f"{prefix}/*")
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[objects]))
        bucket = cast("cdk.CfnElement", self.bucket.node.default_child)
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::<{cdk.Stack.of(self).get_logical_id(bucket)}.Arn>/{prefix}/*]",
            "An artifact's key holds the digest of its lock: it changes with the weights, the prefix stays.",
        )
