# One page for whoever is on duty: first what is wrong, then the way of a request (function, endpoint), then training.
#
# Names of metrics and their statistics, after AWS's own lists (tests/operations.tftest.hcl holds them):
#   SageMaker AI Developer Guide, "Amazon SageMaker AI metrics in Amazon CloudWatch"
#   Lambda Developer Guide, "Types of metrics for Lambda functions", "Monitoring concurrency", "Monitoring Lambda function URLs"

locals {
  percentiles = ["p50", "p95", "p99"]

  # Whose metrics: the namespace, and the dimensions as the dashboard wants them.
  alias     = ["AWS/Lambda", "FunctionName", var.function_name, "Resource", "${var.function_name}:${var.function_alias}"]
  function  = ["AWS/Lambda", "FunctionName", var.function_name]
  model     = ["AWS/SageMaker", "EndpointName", var.endpoint_name, "VariantName", var.variant_name]
  instances = ["/aws/sagemaker/Endpoints", "EndpointName", var.endpoint_name, "VariantName", var.variant_name]

  # Rows of three charts. A line is [whose, metric, statistic, options]; expressions are metric math and searches.
  rows = [
    [
      {
        title = "Function: requests and what went wrong"
        lines = [for metric in ["Invocations", "Errors", "Throttles", "UrlRequestCount", "Url4xxCount", "Url5xxCount"] : [local.alias, metric, "Sum", {}]]
      },
      {
        title = "Function: duration"
        lines = [for percentile in local.percentiles : [local.alias, "Duration", percentile, {}]]
      },
      {
        title = "Function: concurrency"
        lines = [
          [local.function, "ConcurrentExecutions", "Maximum", {}], # of the whole function, as its reserved ceiling is
          [local.alias, "ProvisionedConcurrencySpilloverInvocations", "Sum", {}],
          [local.alias, "ProvisionedConcurrencyUtilization", "Maximum", { yAxis = "right" }],
        ]
      },
    ],
    [
      {
        title = "Endpoint: time in the model"
        lines = [for percentile in local.percentiles : [local.model, "ModelLatency", percentile, {}]]
      },
      {
        # AWS promises the average alone; the percentiles stay empty where it keeps none.
        title = "Endpoint: time that SageMaker adds"
        lines = [for statistic in concat(local.percentiles, ["Average"]) : [local.model, "OverheadLatency", statistic, {}]]
      },
      {
        title = "Endpoint: requests and errors"
        lines = [for metric in ["Invocations", "Invocation4XXErrors", "Invocation5XXErrors"] : [local.model, metric, "Sum", {}]]
      },
    ],
    [
      {
        title = "Endpoint: simultaneous requests"
        lines = [[local.model, "ConcurrentRequestsPerModel", "Maximum", {}]]
      },
      {
        # SageMaker has no metric for it. Each instance reports its CPU once a minute (API reference, MetricsConfig), and
        # each request adds 1/instances to InvocationsPerInstance: the one counts what runs, the other what takes requests.
        title = "Endpoint: instances"
        lines = [
          [local.instances, "CPUUtilization", "SampleCount", { id = "reports", visible = false }],
          [local.model, "Invocations", "Sum", { id = "requests", visible = false }],
          [local.model, "InvocationsPerInstance", "Sum", { id = "share", visible = false }],
        ]
        expressions = {
          "running"         = "reports / (PERIOD(reports) / 60)"
          "taking requests" = "requests / share"
        }
      },
      {
        title = "Endpoint: load of the instances (%, 100 for each core)"
        lines = [
          [local.instances, "CPUUtilization", "Average", {}],
          [local.instances, "MemoryUtilization", "Maximum", {}],
        ]
      },
    ],
    [
      {
        # A search, because each job is a dimension of its own. The namespace is the account's: other projects' jobs show too.
        title       = "Training: load of each instance (%, 100 for each core)"
        expressions = { for metric in ["CPUUtilization", "MemoryUtilization"] : metric => format(local.search, "Host", metric) }
      },
      {
        title       = "Training: accuracy of each job"
        expressions = { for metric in ["valid:top1", "test:top1"] : metric => format(local.search, "TrainingJobName", metric) }
      },
      {
        title       = "Training: loss of each job"
        expressions = { for metric in ["train:loss", "valid:loss"] : metric => format(local.search, "TrainingJobName", metric) }
      },
    ],
  ]

  search = "SEARCH('{\"/aws/sagemaker/TrainingJobs\",%s} MetricName=\"%s\"', 'Average', 60)"

  # The grid is 24 wide.
  charts = flatten([for y, row in local.rows : [for x, chart in row : {
    type   = "metric"
    x      = 8 * x
    y      = 3 + 6 * y
    width  = 8
    height = 6

    properties = {
      title  = chart.title
      region = var.account.region
      view   = "timeSeries"
      period = 60

      metrics = concat(
        [for line in try(chart.lines, []) : concat(
          [line[0][0], line[1]], slice(line[0], 1, length(line[0])), [merge({ stat = line[2], label = "${line[1]} ${line[2]}" }, line[3])]
        )],
        [for label, expression in try(chart.expressions, {}) : [{ expression = expression, label = label }]],
      )
    }
  }]])

  alarm_names = sort(concat(var.alarm_names, [
    aws_cloudwatch_metric_alarm.errors.alarm_name,
    aws_cloudwatch_metric_alarm.latency.alarm_name,
    aws_cloudwatch_metric_alarm.memory.alarm_name,
  ]))

  alarms = {
    type   = "alarm"
    x      = 0
    y      = 0
    width  = 24
    height = 3

    properties = {
      title  = "Alarms"
      alarms = [for name in local.alarm_names : "arn:${var.account.partition}:cloudwatch:${var.account.region}:${var.account.id}:alarm:${name}"]
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix
  dashboard_body = jsonencode({ widgets = concat([local.alarms], local.charts) })
}
