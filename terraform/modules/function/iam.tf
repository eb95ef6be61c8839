# The seed gave its function AmazonSageMakerFullAccess. This is all that it needs.

locals {
  log_group_arn = "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:${aws_cloudwatch_log_group.this.name}"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = "${var.name}-function"
  description          = "Execution role of the function ${var.name}."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "InvokeOneEndpoint"
    actions   = ["sagemaker:InvokeEndpoint"]
    resources = ["arn:${var.account.partition}:sagemaker:${var.account.region}:${var.account.id}:endpoint/${var.endpoint_name}"]
  }

  dynamic "statement" {
    for_each = length(var.allowed_s3_prefixes) == 0 ? [] : [var.allowed_s3_prefixes]
    content {
      sid       = "ReadImages"
      actions   = ["s3:GetObject"]
      resources = [for prefix in statement.value : "arn:${var.account.partition}:s3:::${trimprefix(prefix, "s3://")}*"]
    }
  }

  # The project's buckets are encrypted; only for what S3 reads in the role's name.
  dynamic "statement" {
    for_each = length(var.allowed_s3_prefixes) == 0 ? [] : [var.key_arn]
    content {
      sid       = "ReadEncryptedImages"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${var.account.region}.amazonaws.com"]
      }
    }
  }

  # No CreateLogGroup: the group is Terraform's, with its retention.
  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_group_arn}:*"]
  }

  statement {
    sid       = "WriteTraces"
    actions   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"] # neither action knows a resource
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "predict"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}
