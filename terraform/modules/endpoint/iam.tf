# What the endpoint may do, after AWS's list of what CreateModel needs of its execution role (SageMaker Developer
# Guide, "How to use SageMaker AI execution roles"), each item on our own resources only.

locals {
  # <account>.dkr.ecr.<region>.amazonaws.com/<repository>
  image = regex("^(?P<account_id>[0-9]+)\\.dkr\\.ecr\\.(?P<region>[a-z0-9-]+)\\.amazonaws\\.com/(?P<repository>.+)$", var.image_repository_url)

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
  name                 = "${var.name}-endpoint"
  description          = "Execution role of the endpoint's models."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "this" {
  source_policy_documents = var.network[*].policy_json

  statement {
    sid       = "ReadModels"
    actions   = ["s3:GetObject"]
    resources = ["${var.artifacts_bucket.arn}/runs/*/output/model.tar.gz"]
  }

  dynamic "statement" {
    for_each = var.capture_percent > 0 ? [1] : []
    content {
      sid       = "CaptureData"
      actions   = ["s3:PutObject"]
      resources = ["${var.artifacts_bucket.arn}/capture/*"]
    }
  }

  # The bucket's key, and only for what S3 reads and writes in the role's name.
  statement {
    sid       = "UseBucketKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.account.region}.amazonaws.com"]
    }
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
