# What one run may do: read its data set and its source, and write below its own name. A role of its own, so that no run
# can touch another's results.

locals {
  data_arn      = "arn:${local.partition}:s3:::${var.data_bucket}"
  artifacts_arn = "arn:${local.partition}:s3:::${var.artifacts_bucket}"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = local.name
  description          = "Training run ${var.run_id}."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_instance_profile" "this" {
  name = local.name
  role = aws_iam_role.this.name
}

data "aws_iam_policy_document" "this" {
  dynamic "statement" {
    for_each = var.training[*]

    content {
      sid       = "ListDataset"
      actions   = ["s3:ListBucket"]
      resources = [local.data_arn]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["datasets/${statement.value.dataset}/*"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.training[*]

    content {
      sid     = "ReadInputs"
      actions = ["s3:GetObject"]
      resources = [
        "${local.data_arn}/datasets/${statement.value.dataset}/*",
        "${local.artifacts_arn}/source/${statement.value.source_sha256}.tar.gz",
      ]
    }
  }

  statement {
    sid       = "ListOwnCheckpoints"
    actions   = ["s3:ListBucket"]
    resources = [local.artifacts_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["checkpoints/${var.run_id}/*"]
    }
  }

  # Mirrored both ways, deletions included, as SageMaker does it.
  statement {
    sid       = "SyncOwnCheckpoints"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${local.artifacts_arn}/checkpoints/${var.run_id}/*"]
  }

  statement {
    sid       = "WriteOwnRun"
    actions   = ["s3:PutObject"]
    resources = ["${local.artifacts_arn}/runs/${var.run_id}/*"]
  }

  # The buckets' key, and only for what S3 reads and writes in the role's name. The volume's grant is EC2's own.
  statement {
    sid       = "UseBucketKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }

  # Session Manager and nothing more (Systems Manager User Guide, "Create a custom IAM role for Session Manager"). The
  # managed policy AmazonSSMManagedInstanceCore would also let the instance read every SSM parameter of the account
  # and take commands; ec2messages belongs to those.
  statement {
    sid       = "RegisterForSessions"
    actions   = ["ssm:UpdateInstanceInformation"]
    resources = ["arn:${local.partition}:ec2:${var.region}:${local.account_id}:instance/*"] # its id comes with its start
  }

  statement {
    sid = "OpenSessions"
    actions = [
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"] # these actions know no resource
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "train"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}
