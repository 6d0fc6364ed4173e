"""The bucket of what callers ask and are answered, where an agency keeps any of it."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_iam as iam
from constructs import Construct

from quant_llm.private_bucket import private_bucket


class DataBucket(Construct):
    """A bucket under a key that is not the weights': TLS only, nothing public, everything in it is deleted.

    `keep_days` has the prefixes and the days after which what is under them goes. The bucket outlives its
    stack, since it is not empty then.
    """

    def __init__(self, scope: Construct, construct_id: str, *, keep_days: Mapping[str, int]) -> None:
        super().__init__(scope, construct_id)
        self.key, self.bucket = private_bucket(
            self,
            holds="Requests and answers",
            expire_days={
                f"expire-{prefix.strip('/').replace('/', '-')}": (prefix, days)
                for prefix, days in keep_days.items()
            },
            read_by_whom="Who reads what callers asked",
            no_replication="What callers asked is kept for days, not for ever: a copy elsewhere would "
            "outlive its deletion.",
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
