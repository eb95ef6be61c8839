# One key for what the product keeps: photographs, models, what the endpoint captures, log groups, alerts. Whoever may
# use a bucket may use its key, through S3 only: the roles' own policies say so, each beside what it serves.

resource "aws_kms_key" "this" {
  description             = "Encrypts what ${var.prefix} keeps."
  enable_key_rotation     = true
  deletion_window_in_days = 30 # the longest that there is: with the key goes everything that it encrypted
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}"
  target_key_id = aws_kms_key.this.key_id
}

# In a key policy "*" is this key.
data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:"*" in a key policy is this key alone, and the account must keep the management of it.
  #checkov:skip=CKV_AWS_111:"*" in a key policy is this key alone.
  #checkov:skip=CKV_AWS_356:"*" in a key policy is this key alone.

  # Without it no IAM policy could allow anything with the key, and nobody could delete it.
  statement {
    sid       = "LetIamDecide"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${var.account.partition}:iam::${var.account.id}:root"]
    }
  }

  # CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using AWS KMS".
  statement {
    sid       = "EncryptLogGroups"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.account.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values = [for name in var.log_group_names :
        "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:${name}"
      ]
    }
  }

  # SNS Developer Guide, "Enable compatibility between event sources from AWS services and encrypted topics".
  statement {
    sid       = "PublishToEncryptedTopic"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account.id]
    }
  }
}
