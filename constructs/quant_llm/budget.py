"""What an agency may spend a month, and who hears of it."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from quant_llm.agency import BudgetConfig

ACTUAL_PERCENT: Final = (50, 80, 100)
"""Half: a look at whether the month is as planned. 80: time to act. 100: it is spent."""

FORECAST_PERCENT: Final = 100
"""The month will end above the budget if it goes on like this; AWS forecasts after five weeks of costs."""


class MonthlyBudget(Construct):
    """A monthly cost budget of what carries one cost-allocation tag, with notices by email.

    AWS counts costs under a tag once it is activated as a cost-allocation tag in the billing console. The
    budget has no name of its own: notices can't be changed in place, and a name could not be taken twice.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, budget: BudgetConfig, tag_key: str, tag_value: str
    ) -> None:
        super().__init__(scope, construct_id)
        subscribers = [
            budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=address)
            for address in budget.notify
        ]
        notices = [("ACTUAL", percent) for percent in ACTUAL_PERCENT] + [("FORECASTED", FORECAST_PERCENT)]
        budgets.CfnBudget(
            self,
            "Resource",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=budget.monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{tag_key}${tag_value}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=subscribers,
                )
                for kind, percent in notices
            ],
        )
