# Both watch the alias, which is what callers call: whoever tries an older version by hand wakes nobody.

locals {
  # How Lambda names an alias in its metrics (Lambda Developer Guide, "Monitoring Lambda function URLs").
  alias_dimensions = {
    FunctionName = var.name
    Resource     = "${var.name}:${aws_lambda_alias.live.name}"
  }
}

# What the function could not answer at all: exceptions, timeouts, out of memory. Its own 4xx and 5xx are answers.
resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "5 % of the invocations within 5 minutes, and three at least, ended without an answer. The function's log group says why."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 5
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching" # no call, no fault
  alarm_actions       = [var.topic_arn]
  ok_actions          = [var.topic_arn]

  # A share, so that it means the same at ten calls and at ten thousand; three at least, because one in ten is no share.
  metric_query {
    id          = "rate"
    label       = "Errors (%)"
    expression  = "IF(errors >= 3, 100 * errors / invocations, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "Errors", invocations = "Invocations" }
    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/Lambda"
        metric_name = metric_query.value
        stat        = "Sum"
        period      = 300
        dimensions  = local.alias_dimensions
      }
    }
  }
}

# A single burst above the reserved concurrency is what that ceiling is for; callers sent away minute after minute are not.
resource "aws_cloudwatch_metric_alarm" "throttles" {
  alarm_name          = "${var.name}-throttles"
  alarm_description   = "Callers were sent away (429) in three of five minutes. Raise function_reserved_concurrency, or the account's concurrency where that is null."
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  statistic           = "Sum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  dimensions          = local.alias_dimensions
  alarm_actions       = [var.topic_arn]
  ok_actions          = [var.topic_arn]
}
