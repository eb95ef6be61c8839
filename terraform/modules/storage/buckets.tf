locals {
  purposes = toset(["data", "artifacts", "logs"])
  names    = { for purpose in local.purposes : purpose => "${var.prefix}-${purpose}-${var.account.id}" }
  arns     = { for purpose, name in local.names : purpose => "arn:${var.account.partition}:s3:::${name}" }

  # What is worth keeping is encrypted with our key, and its readers are written down in the bucket of logs. That one
  # takes neither: S3 delivers access logs only where it encrypts with a key of its own.
  kept = toset(["data", "artifacts"])

  # Versions keep what was deleted by mistake; these end what nobody will ask for any more.
  expiry_days = {
    data      = {}
    artifacts = { "capture/" = 30, "checkpoints/" = 30 }
    logs      = { "s3/" = 90 }
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:One region holds everything; a data set can be uploaded, and a model trained, again.
  #checkov:skip=CKV2_AWS_62:Nothing waits for objects to appear: training and deployment are started by people or by CI.
  for_each = local.purposes

  bucket        = local.names[each.key]
  force_destroy = var.empty_on_destroy

  # A destroy that stops at a bucket which is not empty must not have ended the key to what is in it.
  depends_on = [aws_kms_key.this]
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = contains(local.kept, each.key) # one call to KMS for many photographs, not one for each

    apply_server_side_encryption_by_default {
      sse_algorithm     = contains(local.kept, each.key) ? "aws:kms" : "AES256"
      kms_master_key_id = contains(local.kept, each.key) ? aws_kms_key.this.arn : null
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "housekeeping"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  dynamic "rule" {
    for_each = local.expiry_days[each.key]
    content {
      id     = "expire-${trimsuffix(rule.key, "/")}"
      status = "Enabled"

      filter {
        prefix = rule.key
      }

      expiration {
        days = rule.value
      }
    }
  }

  # A rule on noncurrent versions means nothing before there are versions.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each = local.kept

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "s3/${each.key}/"

  depends_on = [aws_s3_bucket_policy.this]
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.purposes

  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arns[each.key], "${local.arns[each.key]}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? local.kept : []
    content {
      sid       = "DeliverAccessLogsOf${title(statement.value)}"
      actions   = ["s3:PutObject"]
      resources = ["${local.arns.logs}/s3/${statement.value}/*"]

      principals {
        type        = "Service"
        identifiers = ["logging.s3.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [var.account.id]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [local.arns[statement.value]]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.purposes

  bucket = aws_s3_bucket.this[each.key].id
  policy = data.aws_iam_policy_document.bucket[each.key].json

  # S3 refuses two changes of one bucket's access settings at the same moment (OperationAborted).
  depends_on = [aws_s3_bucket_public_access_block.this]
}
