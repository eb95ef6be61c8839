# What the endpoint may do, after AWS's list of what CreateModel needs of its execution role (SageMaker Developer
# Guide, "How to use SageMaker AI execution roles"), each item on our own resources only.

locals {
  # <account>.dkr.ecr.<region>.amazonaws.com/<repository>
  image = regex("^(?P<account_id>[0-9]+)\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.amazonaws\\.com/(?P<repository>[^:@]+)", var.image_uri)

  log_group_arn = "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:${aws_cloudwatch_log_group.this.name}"
  alarm_arns = [for alarm in aws_cloudwatch_metric_alarm.rollback :
    "arn:${var.account.partition}:cloudwatch:${var.account.region}:${var.account.id}:alarm:${alarm.alarm_name}"
  ]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["sagemaker.amazonaws.com"]
    }

    # SageMaker acts for every customer; only when it acts for this account may it use the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account.id]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-endpoint"
  description        = "Execution role of the endpoint's models."
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "ReadModels"
    actions   = ["s3:GetObject"]
    resources = ["${var.artifacts_bucket.arn}/runs/*/output/model.tar.gz"]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [local.log_group_arn, "${local.log_group_arn}:*"]
  }

  statement {
    sid       = "WriteMetrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # the action knows no resource; the namespace is its only bound

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["/aws/sagemaker/Endpoints"]
    }
  }

  # SageMaker asks for the alarms' state in the role's name while it decides whether to roll back.
  statement {
    sid       = "WatchRollbackAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = local.alarm_arns
  }

  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action knows no resource; the token opens what the next statement allows
  }

  statement {
    sid       = "PullServingImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${var.account.partition}:ecr:${local.image.region}:${local.image.account_id}:repository/${local.image.repository}"]
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "serve"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}
