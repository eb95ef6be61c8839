# One bucket for the state of every environment, and of this root.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account_id       = data.aws_caller_identity.current.account_id
  partition        = data.aws_partition.current.partition
  state_bucket     = coalesce(var.state_bucket_name, "terraform-state-${local.account_id}")
  state_bucket_arn = "arn:${local.partition}:s3:::${local.state_bucket}"
}

# Without force_destroy: a bucket that still holds a state, if only this root's own, cannot go.
resource "aws_s3_bucket" "state" {
  #checkov:skip=CKV_AWS_18:Access logs would need a second bucket with its own policy, and say what versions say already: every change of a state is a version, and only the roles here and the account's administrators may read one.
  #checkov:skip=CKV_AWS_144:One region holds everything; a state without its region describes nothing that still runs.
  #checkov:skip=CKV2_AWS_62:Nothing waits for a state to change.
  #checkov:skip=CKV_AWS_145:The states hold no secret, so a key of our own would guard nothing that IAM does not, and each reader would need a second grant; with a key that is lost every state is lost.
  bucket = local.state_bucket
}

# The way back after a state was damaged or deleted.
resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket = aws_s3_bucket.state.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    id     = "end-of-old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 365
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # A rule on noncurrent versions means nothing before there are versions.
  depends_on = [aws_s3_bucket_versioning.state]
}

data "aws_iam_policy_document" "state_bucket" {
  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.state_bucket_arn, "${local.state_bucket_arn}/*"]

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
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id
  policy = data.aws_iam_policy_document.state_bucket.json

  # S3 refuses two changes of one bucket's access settings at the same moment (OperationAborted).
  depends_on = [aws_s3_bucket_public_access_block.state]
}
