"""Where alarms are told: an encrypted SNS topic with the agency's addresses."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class AlarmTopic(Construct):
    """A topic to which the account's alarms publish, over TLS, under a key that is not the weights'.

    CloudWatch can't use the key that SNS has by default. Each address is asked to confirm.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, display_name: str, emails: Sequence[str]
    ) -> None:
        super().__init__(scope, construct_id)
        account = cdk.Stack.of(self).account
        cloudwatch = iam.ServicePrincipal("cloudwatch.amazonaws.com")
        own_account = {"StringEquals": {"aws:SourceAccount": account}}
        key = kms.Key(
            self,
            "Key",
            description=display_name,
            enable_key_rotation=True,
            # Only messages on their way are under it.
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[cloudwatch],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],  # of a key's policy: this key
                conditions=own_account,
            )
        )
        self.topic = sns.Topic(self, "Resource", display_name=display_name, master_key=key, enforce_ssl=True)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[cloudwatch],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=own_account,
            )
        )
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
