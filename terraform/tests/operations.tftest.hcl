# The operations module by itself: who is told, of what, and what the page of whoever is on duty shows.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_resource {
  target          = aws_sns_topic.this
  override_during = plan
  values          = { arn = "arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts" }
}

variables {
  prefix             = "dogbreed-test"
  account            = { id = "123456789012", partition = "aws", region = "us-east-1" }
  project            = "dogbreed"
  key_arn            = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  alert_email        = "duty@example.com"
  endpoint_name      = "dogbreed-test"
  variant_name       = "AllTraffic"
  function_name      = "dogbreed-test-predict"
  function_alias     = "live"
  alarm_names        = ["dogbreed-test-predict-errors", "dogbreed-test-rollback-errors"]
  monthly_budget_usd = 50
  unused_access_days = null
}

run "topic" {
  command = plan
  module { source = "./modules/operations" }

  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == var.key_arn && aws_sns_topic_policy.this.arn == aws_sns_topic.this.arn
    error_message = "The topic is encrypted with our key, which CloudWatch and Budgets may use; alias/aws/sns they may not."
  }
  assert {
    condition     = output.topic_arn == aws_sns_topic.this.arn
    error_message = "The ARN built from names, to which the other modules' alarms report, is the topic's."
  }
  assert {
    condition = jsondecode(aws_sns_topic_policy.this.policy).Statement == [
      {
        Sid       = "PublishAlarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"
        Condition = {
          StringEquals = { "aws:SourceAccount" = "123456789012" }
          ArnLike      = { "aws:SourceArn" = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:dogbreed-test-*" }
        }
      },
      {
        Sid       = "PublishBudgets"
        Effect    = "Allow"
        Principal = { Service = "budgets.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"
        Condition = {
          StringEquals = { "aws:SourceAccount" = "123456789012" }
          ArnLike      = { "aws:SourceArn" = "arn:aws:budgets::123456789012:*" }
        }
      },
      {
        Sid       = "DenyWithoutTls"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "sns:Publish"
        Resource  = "arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
    error_message = "CloudWatch publishes our alarms, Budgets our account's budgets, nobody anything else, and nobody without TLS."
  }
  assert {
    condition     = aws_sns_topic_subscription.email[0].protocol == "email" && aws_sns_topic_subscription.email[0].endpoint == "duty@example.com" && aws_sns_topic_subscription.email[0].topic_arn == output.topic_arn
    error_message = "The address given is told."
  }

  # Alarms
  assert {
    condition = { for alarm in [aws_cloudwatch_metric_alarm.latency, aws_cloudwatch_metric_alarm.memory] : alarm.alarm_name => {
      metric    = "${alarm.namespace} ${alarm.metric_name} ${coalesce(alarm.extended_statistic, alarm.statistic)}"
      threshold = alarm.threshold
      minutes   = alarm.period / 60 * alarm.evaluation_periods
      } } == {
      dogbreed-test-latency = { metric = "AWS/SageMaker ModelLatency p99", threshold = 1000000, minutes = 15 }
      dogbreed-test-memory  = { metric = "/aws/sagemaker/Endpoints MemoryUtilization Maximum", threshold = 90, minutes = 15 }
    }
    error_message = "A slow tail (1 s; the metric counts microseconds) or full memory for 15 minutes calls."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.errors.alarm_name == "dogbreed-test-errors" && aws_cloudwatch_metric_alarm.errors.threshold == 1 && aws_cloudwatch_metric_alarm.errors.evaluation_periods == 3
      && { for query in aws_cloudwatch_metric_alarm.errors.metric_query : query.id => query.expression if query.return_data == true } == { rate = "IF(errors >= 3, 100 * errors / invocations, 0)" }
      && { for query in aws_cloudwatch_metric_alarm.errors.metric_query : query.id => "${query.metric[0].namespace} ${query.metric[0].metric_name} ${query.metric[0].stat} ${query.metric[0].period}" if length(query.metric) > 0 } == {
        errors      = "AWS/SageMaker Invocation5XXErrors Sum 300"
        invocations = "AWS/SageMaker Invocations Sum 300"
      }
    )
    error_message = "1 % of 5xx answers, three at least, in each of three times 5 minutes calls."
  }
  assert {
    condition = alltrue([for dimensions in concat(
      [aws_cloudwatch_metric_alarm.latency.dimensions, aws_cloudwatch_metric_alarm.memory.dimensions],
      [for query in aws_cloudwatch_metric_alarm.errors.metric_query : query.metric[0].dimensions if length(query.metric) > 0],
    ) : dimensions == tomap({ EndpointName = "dogbreed-test", VariantName = "AllTraffic" })])
    error_message = "Each alarm watches the endpoint's variant."
  }
  assert {
    condition = alltrue([for alarm in [aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.latency, aws_cloudwatch_metric_alarm.memory] :
      alarm.treat_missing_data == "notBreaching" && alarm.comparison_operator == "GreaterThanOrEqualToThreshold"
      && alarm.alarm_actions == toset([output.topic_arn]) && alarm.ok_actions == toset([output.topic_arn])
    ])
    error_message = "Whoever is told that something is wrong is told that it is over; an endpoint that is off is not wrong."
  }
  assert {
    # The topic's policy lets only such alarms publish.
    condition = alltrue([for alarm in [aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.latency, aws_cloudwatch_metric_alarm.memory] :
      startswith(alarm.alarm_name, "${var.prefix}-")
    ])
    error_message = "An alarm under another name could not publish."
  }

  # The dashboard
  assert {
    condition     = aws_cloudwatch_dashboard.this.dashboard_name == "dogbreed-test" && length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 13
    error_message = "The dashboard is JSON: the alarms and twelve charts."
  }
  assert {
    # Each cell of the grid that a widget covers, once.
    condition = length(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets :
      [for x in range(widget.x, widget.x + widget.width) : [for y in range(widget.y, widget.y + widget.height) : "${x},${y}"]]
      ])) == length(distinct(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets :
        [for x in range(widget.x, widget.x + widget.width) : [for y in range(widget.y, widget.y + widget.height) : "${x},${y}"]]
    ])))
    error_message = "Widgets lie on each other."
  }
  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.x >= 0 && widget.x + widget.width <= 24])
    error_message = "The grid is 24 wide."
  }
  assert {
    condition = toset(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets[0].properties.alarms) == toset([
      for name in ["errors", "latency", "memory", "predict-errors", "rollback-errors"] : "arn:aws:cloudwatch:us-east-1:123456789012:alarm:dogbreed-test-${name}"
    ])
    error_message = "The first row shows every alarm, those of the other modules too."
  }
  assert {
    # Everything drawn, with the statistic: from AWS's lists "Amazon SageMaker AI metrics in Amazon CloudWatch", "Types of
    # metrics for Lambda functions", "Monitoring concurrency" and "Monitoring Lambda function URLs".
    condition = toset(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for line in try(widget.properties.metrics, []) :
      join(" ", concat([for word in slice(line, 0, length(line) - 1) : word], [line[length(line) - 1].stat])) if length(line) > 1
      ]])) == toset(concat(
      [for metric in ["Invocations", "Errors", "Throttles", "UrlRequestCount", "Url4xxCount", "Url5xxCount", "ProvisionedConcurrencySpilloverInvocations"] : "AWS/Lambda ${metric} FunctionName dogbreed-test-predict Resource dogbreed-test-predict:live Sum"],
      [for statistic in ["p50", "p95", "p99"] : "AWS/Lambda Duration FunctionName dogbreed-test-predict Resource dogbreed-test-predict:live ${statistic}"],
      ["AWS/Lambda ProvisionedConcurrencyUtilization FunctionName dogbreed-test-predict Resource dogbreed-test-predict:live Maximum"],
      ["AWS/Lambda ConcurrentExecutions FunctionName dogbreed-test-predict Maximum"],
      [for metric in ["Invocations", "InvocationsPerInstance", "Invocation4XXErrors", "Invocation5XXErrors"] : "AWS/SageMaker ${metric} EndpointName dogbreed-test VariantName AllTraffic Sum"],
      [for statistic in ["p50", "p95", "p99"] : "AWS/SageMaker ModelLatency EndpointName dogbreed-test VariantName AllTraffic ${statistic}"],
      [for statistic in ["p50", "p95", "p99", "Average"] : "AWS/SageMaker OverheadLatency EndpointName dogbreed-test VariantName AllTraffic ${statistic}"],
      ["AWS/SageMaker ConcurrentRequestsPerModel EndpointName dogbreed-test VariantName AllTraffic Maximum"],
      [for statistic in ["SampleCount", "Average"] : "/aws/sagemaker/Endpoints CPUUtilization EndpointName dogbreed-test VariantName AllTraffic ${statistic}"],
      ["/aws/sagemaker/Endpoints MemoryUtilization EndpointName dogbreed-test VariantName AllTraffic Maximum"],
    ))
    error_message = "A metric under a name, dimension or statistic that AWS does not list draws an empty chart."
  }
  assert {
    # Instance metrics have the dimension Host (SageMaker AI Developer Guide, "Amazon SageMaker AI metrics in Amazon
    # CloudWatch"), what the script prints has TrainingJobName (the SDK's sagemaker.core.analytics reads it so).
    condition = toset(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for line in try(widget.properties.metrics, []) :
      line[0].expression if length(line) == 1
      ]])) == toset(concat(
      ["reports / (PERIOD(reports) / 60)", "requests / share"],
      [for metric in ["CPUUtilization", "MemoryUtilization"] : "SEARCH('{\"/aws/sagemaker/TrainingJobs\",Host} MetricName=\"${metric}\"', 'Average', 60)"],
      [for metric in ["valid:top1", "test:top1", "train:loss", "valid:loss"] : "SEARCH('{\"/aws/sagemaker/TrainingJobs\",TrainingJobName} MetricName=\"${metric}\"', 'Average', 60)"],
    ))
    error_message = "Instances are counted, and training jobs found by search."
  }
  assert {
    condition = { for line in flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [for line in try(widget.properties.metrics, []) :
      { id = line[length(line) - 1].id, metric = "${line[1]} ${line[length(line) - 1].stat}", visible = line[length(line) - 1].visible } if can(line[length(line) - 1].id)
      ]]) : line.id => "${line.metric} ${line.visible}" } == {
      reports  = "CPUUtilization SampleCount false"
      requests = "Invocations Sum false"
      share    = "InvocationsPerInstance Sum false"
    }
    error_message = "What the expressions compute with is fetched and not drawn."
  }
  assert {
    condition = alltrue([for metric in regexall("TrainingJobName} MetricName=\\\\\"([a-z0-9:]+)", aws_cloudwatch_dashboard.this.dashboard_body) :
      strcontains(file("../training/jobs.py"), "\"${metric[0]}\"")
    ]) && length(regexall("TrainingJobName} MetricName=\\\\\"([a-z0-9:]+)", aws_cloudwatch_dashboard.this.dashboard_body)) == 4
    error_message = "The launcher gives each job the metrics that the dashboard searches."
  }

  # The budget
  assert {
    condition = (
      aws_budgets_budget.this[0].name == "dogbreed-test-monthly" && aws_budgets_budget.this[0].budget_type == "COST" && aws_budgets_budget.this[0].time_unit == "MONTHLY"
      && tonumber(aws_budgets_budget.this[0].limit_amount) == 50 && aws_budgets_budget.this[0].limit_unit == "USD"
    )
    error_message = "50 USD a month."
  }
  assert {
    condition     = [for filter in aws_budgets_budget.this[0].cost_filter : { name = filter.name, values = toset(filter.values) }] == [{ name = "TagKeyValue", values = toset(["user:Project$dogbreed"]) }]
    error_message = "The budget counts what bears our tags, and a dollar sign stands between each key and its value."
  }
  assert {
    condition     = !aws_budgets_budget.this[0].cost_types[0].include_credit && !aws_budgets_budget.this[0].cost_types[0].include_refund
    error_message = "Credits do not hide what is used."
  }
  assert {
    condition = { for notification in aws_budgets_budget.this[0].notification : notification.notification_type => {
      when = "${notification.comparison_operator} ${notification.threshold} ${notification.threshold_type}"
      to   = notification.subscriber_sns_topic_arns
      } } == {
      ACTUAL     = { when = "GREATER_THAN 80 PERCENTAGE", to = toset(["arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"]) }
      FORECASTED = { when = "GREATER_THAN 100 PERCENTAGE", to = toset(["arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"]) }
    }
    error_message = "80 % spent, or a month that is going to end above 100 %, is told to the topic."
  }
  assert {
    condition     = length(aws_accessanalyzer_analyzer.unused_access) == 0
    error_message = "What is billed for each role is off unless somebody asks."
  }
}

run "without_budget_and_address" {
  command = plan
  module { source = "./modules/operations" }
  variables {
    alert_email        = null
    monthly_budget_usd = null
  }

  assert {
    condition     = length(aws_budgets_budget.this) == 0 && length(aws_sns_topic_subscription.email) == 0
    error_message = "null: no budget, and nobody is told."
  }
}

run "unused_access" {
  command = plan
  module { source = "./modules/operations" }
  variables { unused_access_days = 90 }

  assert {
    condition = (
      aws_accessanalyzer_analyzer.unused_access[0].type == "ACCOUNT_UNUSED_ACCESS"
      && aws_accessanalyzer_analyzer.unused_access[0].analyzer_name == "dogbreed-test-unused-access"
      && aws_accessanalyzer_analyzer.unused_access[0].configuration[0].unused_access[0].unused_access_age == 90
    )
    error_message = "Asked for, access that nobody used for 90 days is found, in this account."
  }
}
