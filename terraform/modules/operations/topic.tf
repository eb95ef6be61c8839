# Where every alarm and the budget report. Who is told is a subscription; without one the alarms still show.

locals {
  # From names alone, so that the modules whose alarms report here can be told before the topic exists.
  topic_name = "${var.prefix}-alerts"
  topic_arn  = "arn:${var.account.partition}:sns:${var.account.region}:${var.account.id}:${local.topic_name}"
}

resource "aws_sns_topic" "this" {
  name              = local.topic_name
  kms_master_key_id = var.key_arn # alarms cannot use alias/aws/sns, whose policy nobody can change
}

resource "aws_sns_topic_policy" "this" {
  arn    = aws_sns_topic.this.arn
  policy = data.aws_iam_policy_document.topic.json
}

data "aws_iam_policy_document" "topic" {
  # SNS Developer Guide, "Example cases for Amazon SNS access control". Both services act for every customer: only when
  # they act for this account, and for something of ours, may they publish.
  statement {
    sid       = "PublishAlarms"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account.id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${var.account.partition}:cloudwatch:${var.account.region}:${var.account.id}:alarm:${var.prefix}-*"]
    }
  }

  # AWS Cost Management User Guide, "Creating an Amazon SNS topic for budget notifications", with its own ARN pattern:
  # nothing there says that the budget's name would be in it.
  statement {
    sid       = "PublishBudgets"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account.id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${var.account.partition}:budgets::${var.account.id}:*"]
    }
  }

  statement {
    sid       = "DenyWithoutTls"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [local.topic_arn]

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

# AWS asks the address for its consent; until then the subscription is pending, and Terraform cannot delete it.
resource "aws_sns_topic_subscription" "email" {
  count = var.alert_email == null ? 0 : 1

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.alert_email
}
