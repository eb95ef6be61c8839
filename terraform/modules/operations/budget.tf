# AWS can sum up by tag only from the day on which Project is activated as a cost allocation tag (once per account, in
# the billing console; it takes a day). Until then this budget sees nothing.
resource "aws_budgets_budget" "this" {
  count = var.monthly_budget_usd == null ? 0 : 1

  name         = "${var.prefix}-monthly"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"

  # What is used, also while credits or refunds pay for it: the day after the last credit should surprise nobody.
  cost_types {
    include_credit = false
    include_refund = false
  }

  # One tag, because AWS does not say whether two would have to match both or either.
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:Project$%s", var.project)] # format: Terraform takes "$${" for an escape
  }

  # Early enough to act: when most of it is spent, and when the month is going to end above it.
  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }
    content {
      notification_type         = notification.key
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.this.arn]
    }
  }

  # AWS takes only a topic that the budget may already publish to.
  depends_on = [aws_sns_topic_policy.this]
}
