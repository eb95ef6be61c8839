# Buckets and the key. No object of any bucket: an apply never touches data, and where an environment's file says that
# its buckets are emptied on destroy, somebody with more rights than a workflow has to destroy it.

data "aws_iam_policy_document" "apply_storage" {
  for_each = local.environments

  statement {
    sid = "KeepBuckets"
    actions = [
      "s3:CreateBucket",
      "s3:DeleteBucket",
      "s3:DeleteBucketPolicy",
      "s3:PutBucketLogging",
      "s3:PutBucketOwnershipControls",
      "s3:PutBucketPolicy",
      "s3:PutBucketPublicAccessBlock",
      "s3:PutBucketTagging",
      "s3:PutBucketVersioning",
      "s3:PutEncryptionConfiguration",
      "s3:PutLifecycleConfiguration",
    ]
    resources = [local.bucket_arns[each.key]]
  }

  # A key has no name. Who makes one has to mark it as this environment's, and the mark decides from then on.
  statement {
    sid       = "MakeKey"
    actions   = ["kms:CreateKey"]
    resources = ["*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  # KMS wants this for the tags of a key that is being made, and nothing tells such a key from one that is there and
  # has no tag. So a key of the account without the tag Project could be claimed: keep other products' keys tagged, or
  # in another account.
  statement {
    sid       = "MarkNewKey"
    actions   = ["kms:TagResource"]
    resources = ["${local.arn.kms}:key/*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }

    condition {
      test     = "Null"
      variable = "aws:ResourceTag/Project"
      values   = ["true"]
    }
  }

  statement {
    sid = "KeepKey"
    actions = [
      "kms:CreateAlias",
      "kms:DeleteAlias",
      "kms:EnableKeyRotation",
      "kms:PutKeyPolicy",
      "kms:ScheduleKeyDeletion",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:UpdateAlias",
      "kms:UpdateKeyDescription",
    ]
    resources = ["${local.arn.kms}:key/*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  statement {
    sid       = "KeepAlias"
    actions   = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
    resources = ["${local.arn.kms}:alias/${local.prefixes[each.key]}"]
  }

  # The volumes of endpoint and notebook are encrypted with the key, and SageMaker takes its grant in the caller's name
  # (SageMaker Developer Guide, "Amazon SageMaker API permissions": CreateEndpoint, CreateNotebookInstance).
  statement {
    sid       = "LetSageMakerUseKey"
    actions   = ["kms:CreateGrant"]
    resources = ["${local.arn.kms}:key/*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}
