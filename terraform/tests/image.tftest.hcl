# The module that builds the serving image and keeps it, by itself.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  prefix       = "dogbreed-test"
  project_name = "dogbreed-test-serving-image"
  account      = { id = "123456789012", partition = "aws", region = "us-east-1" }
  artifacts_bucket = {
    name = "dogbreed-test-artifacts-123456789012"
    arn  = "arn:aws:s3:::dogbreed-test-artifacts-123456789012"
  }
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/k"
  empty_on_destroy         = false
  log_retention_days       = 30
  permissions_boundary_arn = null
}

run "repository_and_builds" {
  command = plan
  module { source = "./modules/image" }

  # What is kept
  assert {
    condition = (
      aws_ecr_repository.this.name == "dogbreed-test-serving"
      && aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
      && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
      && !aws_ecr_repository.this.force_delete
    )
    error_message = "A tag never moves, each image is scanned, and a repository with images does not go by itself."
  }
  assert {
    condition = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection] == [
      { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 },
      { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 30 },
    ]
    error_message = "The newest images are kept, and none without a tag for long."
  }

  # How it is built
  assert {
    condition = (
      aws_codebuild_project.this.name == "dogbreed-test-serving-image"
      && startswith(aws_codebuild_project.this.source[0].location, "dogbreed-test-artifacts-123456789012/source/")
      && one(aws_codebuild_project.this.environment[0].environment_variable) == {
        name = "REPOSITORY_URL", value = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving", type = "PLAINTEXT"
      }
    )
    error_message = "A build gets its source from the artifacts bucket, and is told where to push."
  }
  assert {
    condition = (
      aws_cloudwatch_log_group.this.name == "/aws/codebuild/dogbreed-test-serving-image"
      && aws_codebuild_project.this.logs_config[0].cloudwatch_logs[0].group_name == aws_cloudwatch_log_group.this.name
      && aws_cloudwatch_log_group.this.retention_in_days == 30
      && aws_cloudwatch_log_group.this.kms_key_id == var.key_arn
    )
    error_message = "The log group is there before the first build, encrypted and not for ever."
  }

  # What a build may do
  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement.Sid => statement.Resource } == {
      ReadSource      = "arn:aws:s3:::dogbreed-test-artifacts-123456789012/source/*.zip"
      UseBucketKey    = "arn:aws:kms:us-east-1:123456789012:key/k"
      WriteLog        = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/codebuild/dogbreed-test-serving-image:*"
      LogInToRegistry = "*"
      PushImage       = "arn:aws:ecr:us-east-1:123456789012:repository/dogbreed-test-serving"
    }
    error_message = "A build touches its source, its log and the one repository."
  }
  assert {
    condition = jsondecode(data.aws_iam_policy_document.trust.json).Statement[0].Condition == {
      StringEquals = { "aws:SourceAccount" = "123456789012" }
      ArnEquals    = { "aws:SourceArn" = "arn:aws:codebuild:us-east-1:123456789012:project/dogbreed-test-serving-image" }
    }
    error_message = "CodeBuild may use the role for the one project alone."
  }
}

run "images_go_where_the_environment_says_so" {
  command = plan
  module { source = "./modules/image" }
  variables { empty_on_destroy = true }

  assert {
    condition     = aws_ecr_repository.this.force_delete
    error_message = "The images follow what the buckets hold."
  }
}
