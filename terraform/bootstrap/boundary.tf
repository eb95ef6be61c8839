# What a workload of this project may do at most, whatever its own role says: the jobs, the endpoint, the function, the
# notebook, the image builds and the training instances. An apply role makes no role without it. It is wider than any of
# those roles (one policy for all, on the resources of every environment), and grants nothing by itself.

locals {
  boundary_arn = "${local.iam_arn}:policy/${var.project}-boundary"
}

data "aws_iam_policy_document" "boundary" {
  #checkov:skip=CKV_AWS_111:A boundary grants nothing; what writes without a resource knows none.
  #checkov:skip=CKV_AWS_356:A boundary grants nothing; what stands on "*" knows no resource.

  statement {
    sid = "Buckets"
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetBucketLocation",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:ListBucket",
      "s3:PutObject",
    ]
    resources = ["arn:${local.partition}:s3:::${var.project}-*-${local.account_id}", "arn:${local.partition}:s3:::${var.project}-*-${local.account_id}/*"]
  }

  # Only keys that bear the project's tag, and only for what a service reads and writes in the role's name.
  statement {
    sid       = "Keys"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = ["${local.arn.kms}:key/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Project"
      values   = [var.project]
    }

    condition {
      test     = "StringLike"
      variable = "kms:ViaService"
      values   = ["*.${var.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "GrantsOfServices"
    actions   = ["kms:CreateGrant"]
    resources = ["${local.arn.kms}:key/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Project"
      values   = [var.project]
    }

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid = "Logs"
    actions = [
      "logs:CreateLogGroup",
      "logs:CreateLogStream",
      "logs:DescribeLogStreams",
      "logs:GetLogEvents",
      "logs:PutLogEvents",
    ]
    resources = [
      "${local.arn.logs}:log-group:/aws/codebuild/${var.project}-*",
      "${local.arn.logs}:log-group:/aws/lambda/${var.project}-*",
      "${local.arn.logs}:log-group:/aws/sagemaker/*",
    ]
  }

  statement {
    sid       = "Alarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["${local.arn.cloudwatch}:alarm:${var.project}-*"]
  }

  statement {
    sid       = "Metrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringLike"
      variable = "cloudwatch:namespace"
      values   = ["/aws/sagemaker/*"]
    }
  }

  # Images are AWS's as well as ours.
  statement {
    sid       = "Images"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${local.partition}:ecr:${var.region}:*:repository/*"]
  }

  statement {
    sid       = "OwnImages"
    actions   = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
    resources = ["${local.arn.ecr}:repository/${var.project}-*-serving"]
  }

  statement {
    sid       = "Endpoints"
    actions   = ["sagemaker:InvokeEndpoint"]
    resources = ["${local.arn.sagemaker}:endpoint/${var.project}-*"]
  }

  # A job is named after its run, not after the project; what it may do is decided by the role that it is handed.
  statement {
    sid = "TrainingJobs"
    actions = [
      "sagemaker:AddTags",
      "sagemaker:CreateHyperParameterTuningJob",
      "sagemaker:CreateTrainingJob",
      "sagemaker:DescribeHyperParameterTuningJob",
      "sagemaker:DescribeTrainingJob",
      "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
      "sagemaker:StopHyperParameterTuningJob",
      "sagemaker:StopTrainingJob",
    ]
    resources = ["${local.arn.sagemaker}:hyper-parameter-tuning-job/*", "${local.arn.sagemaker}:training-job/*"]
  }

  statement {
    sid       = "TrainingRoles"
    actions   = ["iam:PassRole"]
    resources = ["${local.iam_arn}:role/${var.project}-*-training"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["sagemaker.amazonaws.com"]
    }
  }

  statement {
    sid       = "Notebooks"
    actions   = ["sagemaker:StopNotebookInstance"]
    resources = ["${local.arn.sagemaker}:notebook-instance/${var.project}-*"]
  }

  statement {
    sid       = "NetworkInterfaces"
    actions   = ["ec2:CreateNetworkInterface"]
    resources = ["${local.arn.ec2}:network-interface/*"]
  }

  statement {
    sid       = "Subnets"
    actions   = ["ec2:CreateNetworkInterface"]
    resources = ["${local.arn.ec2}:security-group/*", "${local.arn.ec2}:subnet/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Project"
      values   = [var.project]
    }
  }

  # Which interfaces is for the roles to say, who know the subnets (module network).
  statement {
    sid       = "InterfacesOfServices"
    actions   = ["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"]
    resources = ["${local.arn.ec2}:network-interface/*"]
  }

  # None of these knows a resource, or the instance has no name before it runs.
  statement {
    sid = "WhatKnowsNoResource"
    actions = [
      "ec2:DescribeDhcpOptions",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcs",
      "ecr:GetAuthorizationToken",
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
      "xray:PutTelemetryRecords",
      "xray:PutTraceSegments",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "boundary" {
  name        = "${var.project}-boundary"
  description = "The most that a workload of ${var.project} may do."
  policy      = data.aws_iam_policy_document.boundary.json
}
