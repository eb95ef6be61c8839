# What calls for a person and for nothing automatic. The endpoint module's two rollback alarms fire at once and at much:
# five errors a minute, two seconds on average. These here wait longer and see less.

locals {
  variant = {
    EndpointName = var.endpoint_name
    VariantName  = var.variant_name
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.endpoint_name}-errors"
  alarm_description   = "For 15 minutes 1 % of the requests, and three in each 5 minutes at least, ended in a 5xx of the model: too few for a rollback, too many to be chance. The endpoint's log group says why."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching" # no request, no fault
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]

  metric_query {
    id          = "rate"
    label       = "5xx answers (%)"
    expression  = "IF(errors >= 3, 100 * errors / invocations, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "Invocation5XXErrors", invocations = "Invocations" }
    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/SageMaker"
        metric_name = metric_query.value
        stat        = "Sum"
        period      = 300
        dimensions  = local.variant
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  alarm_name          = "${var.endpoint_name}-latency"
  alarm_description   = "For 15 minutes the slowest hundredth of the requests spent a second or more in the model, which answers in milliseconds. The dashboard shows whether instances, load or the model changed."
  namespace           = "AWS/SageMaker"
  metric_name         = "ModelLatency"
  extended_statistic  = "p99"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1000000 # microseconds
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  dimensions          = local.variant
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "memory" {
  alarm_name          = "${var.endpoint_name}-memory"
  alarm_description   = "For 15 minutes an instance of the endpoint had 90 % of its memory in use. What runs out of memory is killed in the middle of its requests: take a larger endpoint_instance_type, or look for a leak."
  namespace           = "/aws/sagemaker/Endpoints"
  metric_name         = "MemoryUtilization"
  statistic           = "Maximum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 90
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  dimensions          = local.variant
  alarm_actions       = [local.topic_arn]
  ok_actions          = [local.topic_arn]
}
