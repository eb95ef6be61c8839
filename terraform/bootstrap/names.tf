# What belongs to an environment, by name or by tag. Both come from the main root: names begin with
# <project>-<environment>, and default_tags are on everything from its creation on.

locals {
  # What ARNs of one service here begin with.
  arn = { for service in ["access-analyzer", "application-autoscaling", "cloudwatch", "codebuild", "ec2", "ecr", "kms", "lambda", "logs", "sagemaker", "sns", "ssm"] :
    service => "arn:${local.partition}:${service}:${var.region}:${local.account_id}"
  }
  iam_arn = "arn:${local.partition}:iam::${local.account_id}"

  prefixes = { for environment in keys(local.environments) : environment => "${var.project}-${environment}" }

  # For what has no name but a number: the key, and everything in the network.
  tags = { for environment in keys(local.environments) : environment => { Project = var.project, Environment = environment } }

  bucket_arns = { for environment, prefix in local.prefixes : environment => "arn:${local.partition}:s3:::${prefix}-*-${local.account_id}" }
  role_arns   = { for environment, prefix in local.prefixes : environment => "${local.iam_arn}:role/${prefix}-*" }
  state_arns  = { for environment in keys(local.environments) : environment => "${local.state_bucket_arn}/${var.project}/${environment}.tfstate" }

  # SageMaker's endpoint has the prefix for a name, everything else begins with it.
  sagemaker_arns = { for environment, prefix in local.prefixes : environment => concat(
    ["${local.arn.sagemaker}:endpoint/${prefix}"],
    [for type in ["endpoint-config", "model", "notebook-instance", "notebook-instance-lifecycle-config"] : "${local.arn.sagemaker}:${type}/${prefix}-*"],
  ) }

  # The role of image builds, by the name that the main root gives it.
  image_role_arns = { for environment, prefix in local.prefixes : environment => "${local.iam_arn}:role/${prefix}-serving-image" }

  log_group_arns = { for environment, prefix in local.prefixes : environment => [
    "${local.arn.logs}:log-group:/aws/codebuild/${prefix}-*",
    "${local.arn.logs}:log-group:/aws/lambda/${prefix}-*",
    "${local.arn.logs}:log-group:/aws/sagemaker/Endpoints/${prefix}",
  ] }
}
