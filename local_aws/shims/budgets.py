"""Budgets."""
# mypy: disable-error-code="attr-defined, method-assign"

import json
from typing import Any

from moto.budgets.models import Budget
from moto.budgets.responses import BudgetsResponse


def read_back_subscribers() -> None:
    """Answer who hears of a notification, with what was changed since it was made.

    Moto (up to 5.2.5) has no DescribeSubscribersForNotification, which the provider calls on each read.
    """

    def describe_subscribers_for_notification(self: BudgetsResponse) -> str:
        budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
        asked = _essence(self._get_param("Notification"))
        subscribers = [item.subscribers for item in budget.notifications if _essence(item.details) == asked]
        return json.dumps({"Subscribers": subscribers[0] if subscribers else []})

    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification


def add_update_budget() -> None:
    """Answer UpdateBudget, which the provider calls also where only a tag changes.

    Moto (up to 5.2.5) has no such operation: 500.
    """

    def update_budget(self: BudgetsResponse) -> str:
        account_id, new = self._get_param("AccountId"), self._get_param("NewBudget")
        self.backend.describe_budget(account_id, new["BudgetName"])  # NotFoundException for an unknown one
        self.backend.budgets[account_id][new["BudgetName"]].budget = Budget(new, []).budget
        return "{}"

    BudgetsResponse.update_budget = update_budget


def add_tags_of_budgets() -> None:
    """Keep the tags of CreateBudget and answer ListTagsForResource, which the provider calls on each read.

    Moto (up to 5.2.5) drops the tags and knows none of the operations on them.
    """
    create = BudgetsResponse.create_budget

    def create_budget(self: BudgetsResponse) -> str:
        answer = create(self)
        budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("Budget")["BudgetName"]]
        budget.tags = {tag["Key"]: tag["Value"] for tag in self._get_param("ResourceTags") or []}
        return answer

    def list_tags_for_resource(self: BudgetsResponse) -> str:
        tags = [{"Key": key, "Value": value} for key, value in _tags(self).items()]
        return json.dumps({"ResourceTags": tags})

    def tag_resource(self: BudgetsResponse) -> str:
        _tags(self).update({tag["Key"]: tag["Value"] for tag in self._get_param("ResourceTags")})
        return "{}"

    def untag_resource(self: BudgetsResponse) -> str:
        for key in self._get_param("ResourceTagKeys"):
            _tags(self).pop(key, None)
        return "{}"

    BudgetsResponse.create_budget = create_budget
    BudgetsResponse.list_tags_for_resource = list_tags_for_resource
    BudgetsResponse.tag_resource = tag_resource
    BudgetsResponse.untag_resource = untag_resource


def _tags(response: BudgetsResponse) -> dict[str, str]:
    _, account_id, name = response._get_param("ResourceARN").rsplit(":", 2)
    tags: dict[str, str] = response.backend.budgets[account_id][name.removeprefix("budget/")].tags
    return tags


def _essence(notification: dict[str, Any]) -> dict[str, Any]:
    """What a notification is known by; its state is the service's own."""
    return {key: value for key, value in notification.items() if key != "NotificationState"}
