# The build needs a Docker daemon, which not everybody has at hand: CodeBuild has one.

locals {
  log_group_name = "/aws/codebuild/${var.project_name}"

  project_arn = "arn:${var.account.partition}:codebuild:${var.account.region}:${var.account.id}:project/${var.project_name}"
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is the environment's choice; a build's is of use until the next one.

  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_codebuild_project" "this" {
  #checkov:skip=CKV_AWS_147:There is nothing to encrypt: the project leaves no artifact and keeps no cache.
  #checkov:skip=CKV_AWS_316:Docker's daemon runs in privileged mode only; the role can do no more than read one folder and push to one repository.

  name          = var.project_name
  description   = "Builds the serving image and pushes it; started by make image alone."
  service_role  = aws_iam_role.this.arn
  build_timeout = 30 # minutes

  source {
    type      = "S3"
    location  = "${var.artifacts_bucket.name}/source/none.zip" # each build brings its own
    buildspec = file("${path.module}/buildspec.yml")
  }

  artifacts {
    type = "NO_ARTIFACTS" # the image is pushed
  }

  environment {
    type            = "LINUX_CONTAINER"
    compute_type    = "BUILD_GENERAL1_SMALL"
    image           = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    privileged_mode = true

    environment_variable {
      name  = "REPOSITORY_URL"
      value = local.repository_url
    }
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.this.name
    }
  }

  depends_on = [aws_iam_role_policy.this]
}
