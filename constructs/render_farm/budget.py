"""What writes a mail when the farm has cost more in a month than its owner meant it to."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from constructs import Construct

TELL_AT_PERCENT = (50, 80, 100)


class Budget(Construct):
    """A budget of `monthly_usd` for what bears the farm's tag; it tells `email` and stops nothing.

    AWS counts by a tag only from the day on that the tag is activated for cost allocation, which no stack can do, and
    sees costs up to a day late; until then this budget stays at 0 (docs/cost.md).
    https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-managing-costs.html
    https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, monthly_usd: int, email: str, farm_tag: str, farm: str
    ) -> None:
        super().__init__(scope, construct_id)
        subscriber = budgets.CfnBudget.SubscriberProperty(address=email, subscription_type="EMAIL")
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{farm_tag}${farm}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type="ACTUAL",
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for percent in TELL_AT_PERCENT
            ],
            resource_tags=[budgets.CfnBudget.ResourceTagProperty(key=farm_tag, value=farm)],
        )
