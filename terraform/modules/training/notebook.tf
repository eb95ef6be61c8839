# A notebook for trying things out and starting training jobs. It stops by itself: one left running over a weekend is
# what such projects usually pay for.

locals {
  notebook_name          = "${var.prefix}-notebook"
  notebook_arn           = "arn:${var.account.partition}:sagemaker:${var.account.region}:${var.account.id}:notebook-instance/${local.notebook_name}"
  notebook_log_group_arn = "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:/aws/sagemaker/NotebookInstances"

  # The launcher names its jobs run-<time> and its searches search-<time>; run-*, not *, keeps the notebook off other
  # projects' jobs. Trials bear their search's name.
  searches_arn      = "arn:${var.account.partition}:sagemaker:${var.account.region}:${var.account.id}:hyper-parameter-tuning-job/search-*"
  trials_arn        = "arn:${var.account.partition}:sagemaker:${var.account.region}:${var.account.id}:training-job/search-*"
  training_jobs_arn = "arn:${var.account.partition}:sagemaker:${var.account.region}:${var.account.id}:training-job/run-*"
  training_role_arn = "arn:${var.account.partition}:iam::${var.account.id}:role/${var.prefix}-training"
}

resource "aws_sagemaker_notebook_instance" "this" {
  count = var.notebook == null ? 0 : 1

  name                   = local.notebook_name
  role_arn               = aws_iam_role.notebook[0].arn
  instance_type          = var.notebook.instance_type
  volume_size            = var.notebook.volume_gb
  kms_key_id             = var.key_arn
  lifecycle_config_name  = aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].name
  root_access            = "Disabled" # the lifecycle scripts run as root all the same
  direct_internet_access = var.network == null ? "Enabled" : "Disabled"
  subnet_id              = try(var.network.subnet_ids[0], null)
  security_groups        = try(var.network.security_group_ids, null)

  # No platform_identifier: provider 5.100 knows none newer than notebook-al2-v3, whose Amazon Linux 2 is out of
  # support; SageMaker's own default is notebook-al2023-v1 (API Reference, CreateNotebookInstance).

  instance_metadata_service_configuration {
    minimum_instance_metadata_service_version = "2"
  }

  # Its first start already uses the role.
  depends_on = [aws_iam_role_policy.notebook]
}

resource "aws_sagemaker_notebook_instance_lifecycle_configuration" "this" {
  count = var.notebook == null ? 0 : 1

  name = local.notebook_name

  on_create = var.notebook.repository_url == null ? null : base64encode(templatefile("${path.module}/scripts/on_create.sh.tftpl", {
    repository_url = var.notebook.repository_url
  }))

  on_start = base64encode(templatefile("${path.module}/scripts/on_start.sh.tftpl", {
    stop_when_idle = trimspace(file("${path.module}/scripts/stop_when_idle.py"))
    name           = local.notebook_name
    region         = var.account.region
    idle_minutes   = var.notebook.idle_minutes
  }))
}

resource "aws_iam_role" "notebook" {
  count = var.notebook == null ? 0 : 1

  name                 = local.notebook_name
  description          = "What somebody working in the notebook may do."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "notebook" {
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

  # Without deletion, and the buckets keep every version: nothing done here is beyond repair.
  statement {
    sid       = "ReadAndWriteDatasets"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.buckets.data.arn}/datasets/*"]
  }

  statement {
    sid       = "ListSourcesAndRuns"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.artifacts.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["source/*", "runs/*", "wheels/*"]
    }
  }

  statement {
    sid       = "ReadAndWriteSources"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.buckets.artifacts.arn}/source/*"]
  }

  statement {
    sid       = "ReadRuns"
    actions   = ["s3:GetObject"]
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

  # What a job may do is bounded by the one role that the notebook may hand to it, below.
  statement {
    sid       = "StartTrainingJobs"
    actions   = ["sagemaker:CreateHyperParameterTuningJob", "sagemaker:CreateTrainingJob"]
    resources = [local.searches_arn, local.training_jobs_arn]

    # From a network without internet no job is started outside it.
    dynamic "condition" {
      for_each = var.network[*]

      content {
        test     = "ForAnyValue:StringEquals"
        variable = "sagemaker:VpcSubnets"
        values   = condition.value.subnet_ids
      }
    }
  }

  statement {
    sid       = "WatchAndStopTrainingJobs"
    actions   = ["sagemaker:AddTags", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"]
    resources = [local.training_jobs_arn]
  }

  statement {
    sid = "WatchAndStopSearches"
    actions = [
      "sagemaker:DescribeHyperParameterTuningJob",
      "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
      "sagemaker:StopHyperParameterTuningJob",
    ]
    resources = [local.searches_arn]
  }

  statement {
    sid       = "WatchTrials"
    actions   = ["sagemaker:DescribeTrainingJob"]
    resources = [local.trials_arn]
  }

  statement {
    sid       = "HandTrainingRoleToSageMaker"
    actions   = ["iam:PassRole"]
    resources = [local.training_role_arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["sagemaker.amazonaws.com"]
    }
  }

  statement {
    sid       = "FindTrainingLogs"
    actions   = ["logs:DescribeLogStreams"]
    resources = [local.log_group_arn, "${local.log_group_arn}:*"]
  }

  statement {
    sid       = "ReadTrainingLogs"
    actions   = ["logs:GetLogEvents"]
    resources = ["${local.log_group_arn}:log-stream:run-*"]
  }

  # Like the training jobs' group, this one belongs to the account: SageMaker makes it with the first notebook.
  statement {
    sid       = "StartOwnLogs"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams"]
    resources = [local.notebook_log_group_arn, "${local.notebook_log_group_arn}:*"]
  }

  statement {
    sid       = "WriteOwnLogs"
    actions   = ["logs:PutLogEvents"]
    resources = ["${local.notebook_log_group_arn}:log-stream:${local.notebook_name}/*"]
  }

  statement {
    sid       = "StopItself"
    actions   = ["sagemaker:StopNotebookInstance"]
    resources = [local.notebook_arn]
  }
}

resource "aws_iam_role_policy" "notebook" {
  count = var.notebook == null ? 0 : 1

  name   = "work"
  role   = aws_iam_role.notebook[0].id
  policy = data.aws_iam_policy_document.notebook.json
}
