# SageMaker, the function, the autoscaling between, and what builds and keeps the serving image.

data "aws_iam_policy_document" "apply_serving" {
  for_each = local.environments

  statement {
    sid = "KeepSageMaker"
    actions = [
      "sagemaker:AddTags",
      "sagemaker:CreateEndpoint",
      "sagemaker:CreateEndpointConfig",
      "sagemaker:CreateModel",
      "sagemaker:CreateNotebookInstance",
      "sagemaker:CreateNotebookInstanceLifecycleConfig",
      "sagemaker:DeleteEndpoint",
      "sagemaker:DeleteEndpointConfig",
      "sagemaker:DeleteModel",
      "sagemaker:DeleteNotebookInstance",
      "sagemaker:DeleteNotebookInstanceLifecycleConfig",
      "sagemaker:DeleteTags",
      "sagemaker:StartNotebookInstance", # an update stops the notebook and starts it again
      "sagemaker:StopNotebookInstance",
      "sagemaker:UpdateEndpoint",
      "sagemaker:UpdateEndpointWeightsAndCapacities", # for the autoscaling, see below
      "sagemaker:UpdateNotebookInstance",
      "sagemaker:UpdateNotebookInstanceLifecycleConfig",
    ]
    resources = local.sagemaker_arns[each.key]
  }

  # A target's ARN ends in a number that AWS gives it: the kind of target is the bound.
  statement {
    sid = "KeepAutoscaling"
    actions = [
      "application-autoscaling:DeleteScalingPolicy",
      "application-autoscaling:DeregisterScalableTarget",
      "application-autoscaling:PutScalingPolicy",
      "application-autoscaling:RegisterScalableTarget",
    ]
    resources = ["${local.arn["application-autoscaling"]}:scalable-target/*"]

    condition {
      test     = "StringEquals"
      variable = "application-autoscaling:service-namespace"
      values   = ["sagemaker"]
    }
  }

  statement {
    sid       = "TagScalableTargets"
    actions   = ["application-autoscaling:TagResource", "application-autoscaling:UntagResource"]
    resources = ["${local.arn["application-autoscaling"]}:scalable-target/*"]
  }

  # Who sets up target tracking must be allowed what it does to the target and to its alarms (Application Auto Scaling
  # User Guide, "Identity-based policy examples", permissions on target services and CloudWatch).
  statement {
    sid       = "KeepAlarmsOfAutoscaling"
    actions   = ["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm"]
    resources = ["${local.arn.cloudwatch}:alarm:TargetTracking-endpoint/${local.prefixes[each.key]}/*"]
  }

  statement {
    sid = "KeepFunction"
    actions = [
      "lambda:CreateAlias",
      "lambda:CreateFunction",
      "lambda:CreateFunctionUrlConfig",
      "lambda:DeleteAlias",
      "lambda:DeleteFunction",
      "lambda:DeleteFunctionConcurrency",
      "lambda:DeleteFunctionUrlConfig",
      "lambda:DeleteProvisionedConcurrencyConfig",
      "lambda:PublishVersion",
      "lambda:PutFunctionConcurrency",
      "lambda:PutProvisionedConcurrencyConfig",
      "lambda:TagResource",
      "lambda:UntagResource",
      "lambda:UpdateAlias",
      "lambda:UpdateFunctionCode",
      "lambda:UpdateFunctionConfiguration",
      "lambda:UpdateFunctionUrlConfig",
    ]
    resources = ["${local.arn.lambda}:function:${local.prefixes[each.key]}-*"]
  }

  # Neither pushes an image nor deletes one, but for a repository's images with the repository.
  statement {
    sid = "KeepRepository"
    actions = [
      "ecr:CreateRepository",
      "ecr:DeleteLifecyclePolicy",
      "ecr:DeleteRepository",
      "ecr:PutImageScanningConfiguration",
      "ecr:PutImageTagMutability",
      "ecr:PutLifecyclePolicy",
      "ecr:TagResource",
      "ecr:UntagResource",
    ]
    resources = ["${local.arn.ecr}:repository/${local.prefixes[each.key]}-*"]
  }

  # Starts no build.
  statement {
    sid       = "KeepImageProject"
    actions   = ["codebuild:CreateProject", "codebuild:DeleteProject", "codebuild:UpdateProject"]
    resources = ["${local.arn.codebuild}:project/${local.prefixes[each.key]}-*"]
  }
}
