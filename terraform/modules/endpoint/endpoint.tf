locals {
  endpoint_count = var.serving && length(var.releases) > 0 ? 1 : 0

  # SageMaker lets a canary take at most half of the new fleet: with one instance there is none. A configuration starts
  # with what was the least when it was made.
  canary = try(aws_sagemaker_endpoint_configuration.this[var.releases[0].run_id].production_variants[0].initial_instance_count >= 2, false)

  variant_dimensions = { EndpointName = var.name, VariantName = local.variant }

  # Longer than the alarms need to fire, or they would watch in vain.
  baking_seconds = 300
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/sagemaker/Endpoints/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

# Both watch old and new instances together, so that a bad release shows as soon as traffic reaches it.
resource "aws_cloudwatch_metric_alarm" "rollback" {
  for_each = {
    errors = {
      description = "The model answered 5xx five times or more in a minute, those not counted that it turned away for want of room."
      expression  = "errors - FILL(busy, 0)"
      threshold   = 5
      metrics = {
        errors = { namespace = "AWS/SageMaker", name = "Invocation5XXErrors", stat = "Sum", dimensions = local.variant_dimensions }
        busy   = { namespace = var.name, name = "busy", stat = "Sum", dimensions = {} } # out of the container's log
      }
    }
    latency = {
      description = "The model took over 2 s on average for a minute."
      expression  = "latency"
      threshold   = 2000000 # microseconds
      metrics = {
        latency = { namespace = "AWS/SageMaker", name = "ModelLatency", stat = "Average", dimensions = local.variant_dimensions }
      }
    }
  }

  alarm_name          = "${var.name}-rollback-${each.key}"
  alarm_description   = "${each.value.description} A deployment in progress goes back."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching" # no request, no fault
  alarm_actions       = [var.topic_arn]

  metric_query {
    id          = "watched"
    expression  = each.value.expression
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        stat        = metric_query.value.stat
        period      = 60
        dimensions  = metric_query.value.dimensions
      }
    }
  }
}

resource "aws_sagemaker_endpoint" "this" {
  count = local.endpoint_count

  name                 = var.name
  endpoint_config_name = aws_sagemaker_endpoint_configuration.this[var.releases[0].run_id].name

  deployment_config {
    # From the first apply on: the provider replaces an endpoint to which alarms are added later.
    auto_rollback_configuration {
      dynamic "alarms" {
        for_each = aws_cloudwatch_metric_alarm.rollback
        content {
          alarm_name = alarms.value.alarm_name
        }
      }
    }

    blue_green_update_policy {
      maximum_execution_timeout_in_seconds = 3600
      termination_wait_in_seconds          = local.baking_seconds

      traffic_routing_configuration {
        type                     = local.canary ? "CANARY" : "ALL_AT_ONCE"
        wait_interval_in_seconds = local.baking_seconds

        dynamic "canary_size" {
          for_each = local.canary ? [1] : []
          content {
            type  = "INSTANCE_COUNT"
            value = canary_size.value
          }
        }
      }
    }
  }

  # Without the group SageMaker would make it, and keep the logs for ever.
  depends_on = [aws_cloudwatch_log_group.this]

  lifecycle {
    # SageMaker goes back by itself, and the provider finds the endpoint in service. Failing here, the apply goes no
    # further: it would delete the configuration that is in use, where a new one took its place.
    postcondition {
      condition     = self.endpoint_config_name == aws_sagemaker_endpoint_configuration.this[var.releases[0].run_id].name
      error_message = "The endpoint ${self.name} went back to ${self.endpoint_config_name}: an alarm of the deployment fired, or the new instances did not come into service."
    }
  }
}
