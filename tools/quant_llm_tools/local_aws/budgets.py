"""Budgets: who hears of a notice, which moto keeps and has no action for."""

from __future__ import annotations

import json

from moto.budgets.exceptions import NotFoundException
from moto.budgets.responses import BudgetsResponse

from quant_llm_tools.local_aws.cloud import Seam


def seams() -> list[Seam]:
    """moto lacks DescribeSubscribersForNotification."""

    def describe_subscribers_for_notification(response: BudgetsResponse) -> str:
        account, name = response._get_param("AccountId"), response._get_param("BudgetName")
        budget = response.backend.budgets[account].get(name)
        wanted = response._get_param("Notification")
        for notification in budget.notifications if budget else ():
            if all(notification.details.get(field) == value for field, value in wanted.items()):
                return json.dumps({"Subscribers": notification.subscribers})
        raise NotFoundException(f"Unable to find such a notification of the budget {name}")

    return [(BudgetsResponse, "describe_subscribers_for_notification", describe_subscribers_for_notification)]
