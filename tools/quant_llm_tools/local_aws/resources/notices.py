"""Who hears of what, and where it is seen: subscriptions and policies of topics, dashboards, budgets."""

from __future__ import annotations

import json
from typing import Any

from quant_llm_tools.local_aws.resources.request import Request, converted

Json = Any


class TopicPolicy:
    """AWS::SNS::TopicPolicy."""

    def create(self, request: Request) -> None:
        """Give every topic the policy."""
        request.identify(request.name("", 255))
        request.attributes = {"Id": request.physical_id}
        self._apply(request)

    def update(self, request: Request) -> None:
        """Give every topic the new policy, and those that are no longer named SNS's own."""
        self._apply(request)
        for arn in request.old["Topics"]:
            if arn not in request.properties["Topics"]:
                _set_policy(request, arn, _own_account(request, arn))

    def delete(self, request: Request) -> None:
        """Give every topic SNS's own policy again."""
        for arn in request.properties["Topics"]:
            _set_policy(request, arn, _own_account(request, arn))

    @staticmethod
    def _apply(request: Request) -> None:
        policy = request.properties["PolicyDocument"]
        for arn in request.properties["Topics"]:
            _set_policy(request, arn, policy)


def _set_policy(request: Request, arn: str, policy: Json) -> None:
    change = request.client("sns").set_topic_attributes
    request.send(change, TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(policy))


def _own_account(request: Request, arn: str) -> Json:
    """What a topic has that nobody gave a policy: its own account may do all that topics know."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:GetTopicAttributes", "SNS:SetTopicAttributes"],
        "Resource": arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": request.stack.account}},
    }
    return {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}


class Subscription:
    """AWS::SNS::Subscription by email, which nobody has to confirm here; nothing is sent."""

    def create(self, request: Request) -> None:
        """Subscribe."""
        subscription = request.call("sns.subscribe", ReturnSubscriptionArn=True)
        request.identify(subscription["SubscriptionArn"])
        request.attributes = {"Arn": request.physical_id}

    def update(self, request: Request) -> None:
        """Nothing of an email's subscription changes in place."""

    def delete(self, request: Request) -> None:
        """Unsubscribe."""
        request.send(request.client("sns").unsubscribe, SubscriptionArn=request.physical_id)


class Dashboard:
    """AWS::CloudWatch::Dashboard."""

    def create(self, request: Request) -> None:
        """Put the dashboard."""
        request.identify(request.name("DashboardName", 255))
        self.update(request)

    def update(self, request: Request) -> None:
        """Put it over the old one."""
        request.call("cloudwatch.put_dashboard", DashboardName=request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the dashboard."""
        request.send(request.client("cloudwatch").delete_dashboards, DashboardNames=[request.physical_id])


class Budget:
    """AWS::Budgets::Budget; a change of it makes a new one, where AWS changes amounts in place."""

    def create(self, request: Request) -> None:
        """Create the budget with its notices."""
        budget = dict(request.properties["Budget"])
        name = budget.setdefault("BudgetName", request.name("", 100))
        shape = request.client("budgets").meta.service_model.shape_for("Budget")
        request.call(
            "budgets.create_budget",
            AccountId=request.stack.account,
            Budget=converted(budget, shape, "AWS::Budgets::Budget Budget"),
        )
        request.identify(name)
        request.attributes = {"BudgetName": name}

    def update(self, request: Request) -> None:
        """Only tags change in place; they are kept nowhere."""
        request.properties.get("ResourceTags")

    def delete(self, request: Request) -> None:
        """Delete the budget."""
        request.send(
            request.client("budgets").delete_budget,
            AccountId=request.stack.account,
            BudgetName=request.physical_id,
        )
