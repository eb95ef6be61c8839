# What a plan reads of one environment; the plan role and the environment's apply role both have it. Action for action
# what the provider's resources in the main root ask on refresh, and nothing that holds data: no object but the state,
# no parameter but this environment's own, no log line.

data "aws_iam_policy_document" "read" {
  #checkov:skip=CKV_AWS_356:The last statement's actions know no resource; they list names and settings.
  for_each = local.environments

  # Not bounded by prefix: S3 says "not there" of a state, and not "forbidden", only to who may list the bucket.
  statement {
    sid       = "ListStates"
    actions   = ["s3:ListBucket"]
    resources = [local.state_bucket_arn]
  }

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject"]
    resources = [local.state_arns[each.key]]
  }

  statement {
    sid = "ReadBuckets"
    actions = [
      "s3:GetAccelerateConfiguration",
      "s3:GetBucketAcl",
      "s3:GetBucketCORS",
      "s3:GetBucketLocation",
      "s3:GetBucketLogging",
      "s3:GetBucketObjectLockConfiguration",
      "s3:GetBucketOwnershipControls",
      "s3:GetBucketPolicy",
      "s3:GetBucketPublicAccessBlock",
      "s3:GetBucketRequestPayment",
      "s3:GetBucketTagging",
      "s3:GetBucketVersioning",
      "s3:GetBucketWebsite",
      "s3:GetEncryptionConfiguration",
      "s3:GetLifecycleConfiguration",
      "s3:GetReplicationConfiguration",
      "s3:ListBucket", # asks whether the bucket is there
    ]
    resources = [local.bucket_arns[each.key]]
  }

  statement {
    sid       = "ReadKey"
    actions   = ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"]
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
    sid       = "ReadRoles"
    actions   = ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"]
    resources = [local.role_arns[each.key]]
  }

  statement {
    sid = "ReadSageMaker"
    actions = [
      "sagemaker:DescribeEndpoint",
      "sagemaker:DescribeEndpointConfig",
      "sagemaker:DescribeModel",
      "sagemaker:DescribeNotebookInstance",
      "sagemaker:DescribeNotebookInstanceLifecycleConfig",
      "sagemaker:ListTags",
    ]
    resources = local.sagemaker_arns[each.key]
  }

  statement {
    sid = "ReadFunction"
    actions = [
      "lambda:GetAlias",
      "lambda:GetFunction", # with a link to its zip, which holds nothing that this repository does not
      "lambda:GetFunctionCodeSigningConfig",
      "lambda:GetFunctionConfiguration",
      "lambda:GetFunctionUrlConfig",
      "lambda:GetPolicy",
      "lambda:GetProvisionedConcurrencyConfig",
      "lambda:ListTags", # else GetFunction leaves them out, and every plan would add them
      "lambda:ListVersionsByFunction",
    ]
    resources = ["${local.arn.lambda}:function:${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "ReadRepository"
    actions   = ["ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:ListTagsForResource"]
    resources = ["${local.arn.ecr}:repository/${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "ReadImageProject"
    actions   = ["codebuild:BatchGetProjects"]
    resources = ["${local.arn.codebuild}:project/${local.prefixes[each.key]}-*"]
  }

  statement {
    sid     = "ReadOperations"
    actions = ["cloudwatch:DescribeAlarms", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource"]
    resources = [
      "${local.arn.cloudwatch}:alarm:${local.prefixes[each.key]}-*",
      "arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${local.prefixes[each.key]}",
    ]
  }

  statement {
    sid       = "ReadTagsOfLogGroups"
    actions   = ["logs:ListTagsForResource"]
    resources = local.log_group_arns[each.key]
  }

  statement {
    sid       = "ReadTopic"
    actions   = ["sns:GetTopicAttributes", "sns:ListTagsForResource"]
    resources = ["${local.arn.sns}:${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "ReadBudget"
    actions   = ["budgets:ListTagsForResource", "budgets:ViewBudget"]
    resources = ["arn:${local.partition}:budgets::${local.account_id}:budget/${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "ReadAnalyzer"
    actions   = ["access-analyzer:GetAnalyzer", "access-analyzer:ListTagsForResource"]
    resources = ["${local.arn["access-analyzer"]}:analyzer/${local.prefixes[each.key]}-*"]
  }

  statement {
    sid       = "ReadParameters"
    actions   = ["ssm:GetParameter", "ssm:GetParameters", "ssm:ListTagsForResource"]
    resources = ["${local.arn.ssm}:parameter/${var.project}/${each.key}/*"]
  }

  statement {
    sid       = "ReadTagsOfScalableTargets"
    actions   = ["application-autoscaling:ListTagsForResource"]
    resources = ["${local.arn["application-autoscaling"]}:scalable-target/*"] # named by AWS, by a number
  }

  statement {
    sid       = "ReadNetwork"
    actions   = ["ec2:DescribeVpcAttribute"]
    resources = ["${local.arn.ec2}:vpc/*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  # None of these knows a resource (AWS, "Service Authorization Reference").
  statement {
    sid = "ListWhatKnowsNoResource"
    actions = [
      "application-autoscaling:DescribeScalableTargets",
      "application-autoscaling:DescribeScalingPolicies",
      "ec2:DescribeAvailabilityZones",
      "ec2:DescribeNetworkAcls",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribePrefixLists",
      "ec2:DescribeRouteTables",
      "ec2:DescribeSecurityGroupRules",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSubnets",
      "ec2:DescribeVpcEndpointServices",
      "ec2:DescribeVpcEndpoints",
      "ec2:DescribeVpcs",
      "kms:ListAliases",
      "logs:DescribeLogGroups",
      "sns:GetSubscriptionAttributes",
      "ssm:DescribeParameters",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "read" {
  for_each = local.environments

  name        = "${var.project}-read-${each.key}"
  description = "What a plan of the environment ${each.key} reads."
  policy      = data.aws_iam_policy_document.read[each.key].json
}
