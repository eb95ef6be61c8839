# What one training job may do, after AWS's list of what CreateTrainingJob needs of its execution role
# (SageMaker Developer Guide, "How to use SageMaker AI execution roles"), each item on our own resources only.

locals {
  log_group_arn = "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:/aws/sagemaker/TrainingJobs"
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
  name                 = "${var.prefix}-training"
  description          = "Execution role of the training jobs."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "this" {
  source_policy_documents = var.network[*].policy_json

  statement {
    sid       = "ListDatasets"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.data.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["datasets/*"]
    }
  }

  statement {
    sid       = "ReadDatasets"
    actions   = ["s3:GetObject"]
    resources = ["${var.buckets.data.arn}/datasets/*"]
  }

  statement {
    sid       = "ListInputsAndCheckpoints"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.artifacts.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["source/*", "wheels/*", "checkpoints/*"]
    }
  }

  statement {
    sid       = "ReadInputs"
    actions   = ["s3:GetObject"]
    resources = ["${var.buckets.artifacts.arn}/source/*", "${var.buckets.artifacts.arn}/wheels/*"]
  }

  # SageMaker mirrors the local checkpoint folder both ways, deletions included.
  statement {
    sid       = "SyncCheckpoints"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${var.buckets.artifacts.arn}/checkpoints/*"]
  }

  # Written once, never read back or deleted by a job: a run cannot touch another run's results unnoticed, as the
  # bucket keeps every version.
  statement {
    sid       = "WriteRuns"
    actions   = ["s3:PutObject"]
    resources = ["${var.buckets.artifacts.arn}/runs/*"]
  }

  # The buckets' key, and only for what S3 reads and writes in the role's name.
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

  # The log group belongs to the account, not to this project: SageMaker makes it with the first job.
  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [local.log_group_arn, "${local.log_group_arn}:*"]
  }

  statement {
    sid       = "WriteMetrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # the action knows no resource; the namespace is its only bound

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["/aws/sagemaker/TrainingJobs"]
    }
  }

  statement {
    sid       = "LogInToRegistries"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action knows no resource; the token opens what the next statement allows
  }

  statement {
    sid       = "PullTrainingImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${var.account.partition}:ecr:${var.account.region}:${var.registry_account_id}:repository/*"]
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "train"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}
