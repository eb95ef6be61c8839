# Log groups, alarms, the dashboard, the topic, the budget, the analyzer and the parameters.

data "aws_iam_policy_document" "apply_operations" {
  for_each = local.environments

  # Settings alone: nothing here reads a log line.
  statement {
    sid = "KeepLogGroups"
    actions = [
      "logs:AssociateKmsKey",
      "logs:CreateLogGroup",
      "logs:DeleteLogGroup",
      "logs:DeleteRetentionPolicy",
      "logs:DisassociateKmsKey",
      "logs:PutRetentionPolicy",
      "logs:TagResource",
      "logs:UntagResource",
    ]
    # CloudWatch Logs writes the ARN with and without the star of its streams, depending on the action.
    resources = flatten([for arn in local.log_group_arns[each.key] : [arn, "${arn}:*"]])
  }

  statement {
    sid       = "KeepAlarms"
    actions   = ["cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"]
    resources = ["${local.arn.cloudwatch}:alarm:${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "KeepDashboard"
    actions   = ["cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard"]
    resources = ["arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${local.prefixes[each.key]}"]
  }

  statement {
    sid = "KeepTopic"
    actions = [
      "sns:CreateTopic",
      "sns:DeleteTopic",
      "sns:SetTopicAttributes",
      "sns:Subscribe",
      "sns:TagResource",
      "sns:UntagResource",
    ]
    resources = ["${local.arn.sns}:${local.prefixes[each.key]}-*"]
  }

  # Knows no resource, like nothing about a subscription but Subscribe (AWS, "Service Authorization Reference").
  statement {
    sid       = "Unsubscribe"
    actions   = ["sns:Unsubscribe"]
    resources = ["*"]
  }

  statement {
    sid       = "KeepBudget"
    actions   = ["budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource"]
    resources = ["arn:${local.partition}:budgets::${local.account_id}:budget/${local.prefixes[each.key]}-*"]
  }

  statement {
    sid = "KeepAnalyzer"
    actions = [
      "access-analyzer:CreateAnalyzer",
      "access-analyzer:DeleteAnalyzer",
      "access-analyzer:TagResource",
      "access-analyzer:UntagResource",
      "access-analyzer:UpdateAnalyzer",
    ]
    resources = ["${local.arn["access-analyzer"]}:analyzer/${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "KeepParameters"
    actions   = ["ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:PutParameter", "ssm:RemoveTagsFromResource"]
    resources = ["${local.arn.ssm}:parameter/${var.project}/${each.key}/*"]
  }
}
