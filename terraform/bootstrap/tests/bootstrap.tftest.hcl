# Plans with the real provider and no AWS: what it would ask of STS is answered here, so policies render as they will be.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

run "state_bucket" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "terraform-state-123456789012" && !aws_s3_bucket.state.force_destroy
    error_message = "The account has one bucket for state, and what it holds does not go with it."
  }
  assert {
    condition = (
      aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
      && one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
      && aws_s3_bucket_ownership_controls.state.rule[0].object_ownership == "BucketOwnerEnforced"
    )
    error_message = "The bucket keeps versions, encrypts and has one owner."
  }
  assert {
    condition = (
      aws_s3_bucket_public_access_block.state.block_public_acls && aws_s3_bucket_public_access_block.state.block_public_policy
      && aws_s3_bucket_public_access_block.state.ignore_public_acls && aws_s3_bucket_public_access_block.state.restrict_public_buckets
    )
    error_message = "The bucket is never public."
  }
  assert {
    condition = jsondecode(data.aws_iam_policy_document.state_bucket.json).Statement == [{
      Sid       = "DenyWithoutTls"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::terraform-state-123456789012/*", "arn:aws:s3:::terraform-state-123456789012"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
    error_message = "The bucket refuses whoever comes without TLS."
  }
  assert {
    condition = (
      aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].noncurrent_days == 365
      && length(aws_s3_bucket_lifecycle_configuration.state.rule[0].expiration) == 0
    )
    error_message = "Old versions end after a year, the current one never."
  }
}

run "no_repository_no_role" {
  command = plan

  assert {
    condition = (
      length(aws_iam_openid_connect_provider.github) == 0 && length(aws_iam_role.plan) == 0 && length(aws_iam_role.apply) == 0
      && length(aws_iam_policy.read) == 0 && length(aws_iam_policy.apply) == 0
      && output.plan_role_arn == null && output.apply_role_arns == {}
    )
    error_message = "Without a repository nothing trusts GitHub."
  }
  assert {
    condition     = aws_iam_policy.boundary.name == "dogbreed-boundary"
    error_message = "The boundary is there without GitHub, too."
  }
}

run "names_alone" {
  command = plan
  variables { github_repository = "Acme/dog-breeds" }

  assert {
    condition = jsondecode(data.aws_iam_policy_document.plan_trust.json).Statement == [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
      Condition = { StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = ["repo:Acme/dog-breeds:pull_request", "repo:Acme/dog-breeds:ref:refs/heads/main"]
      } }
    }]
    error_message = "Plans are for pull requests and main of the one repository."
  }
  assert {
    condition     = keys(aws_iam_role.apply) == ["prod"] && aws_iam_role.apply["prod"].name == "dogbreed-apply-prod" && aws_iam_role.plan[0].name == "dogbreed-plan"
    error_message = "One role plans, and one applies prod."
  }
  assert {
    condition     = aws_iam_openid_connect_provider.github[0].url == "https://token.actions.githubusercontent.com" && aws_iam_openid_connect_provider.github[0].client_id_list == toset(["sts.amazonaws.com"])
    error_message = "GitHub's tokens are taken for STS alone."
  }
}

run "names_with_numbers" {
  command = plan
  variables {
    github_repository     = "Acme/dog-breeds"
    github_repository_ids = { owner_id = 123456, repository_id = 456789 }
    apply_environments    = { production = "prod", development = "dev" }
  }

  assert {
    condition = { for environment, document in data.aws_iam_policy_document.apply_trust : environment => jsondecode(document.json).Statement } == {
      for environment, github in { prod = "production", dev = "development" } : environment => [{
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
        Condition = { StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = ["repo:Acme/dog-breeds:environment:${github}", "repo:Acme@123456/dog-breeds@456789:environment:${github}"]
        } }
      }]
    }
    error_message = "Both forms of the subject are trusted, for the environment's own name in GitHub alone."
  }
  assert {
    condition = toset(jsondecode(data.aws_iam_policy_document.plan_trust.json).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"]) == toset([
      "repo:Acme/dog-breeds:pull_request",
      "repo:Acme/dog-breeds:ref:refs/heads/main",
      "repo:Acme@123456/dog-breeds@456789:pull_request",
      "repo:Acme@123456/dog-breeds@456789:ref:refs/heads/main",
    ])
    error_message = "Both forms of the subject are trusted for plans."
  }
}

run "provider_of_the_account" {
  command = plan
  variables {
    github_repository        = "acme/dogs"
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && length(aws_iam_role.plan) == 1
    error_message = "An account has GitHub's provider once: where it is there, it is used."
  }
}

run "another_name_for_the_bucket" {
  command = plan
  variables {
    github_repository = "acme/dogs"
    state_bucket_name = "state-of-acme"
  }

  assert {
    condition = aws_s3_bucket.state.bucket == "state-of-acme" && toset(flatten([
      for statement in jsondecode(data.aws_iam_policy_document.apply_roles["prod"].json).Statement : statement.Resource if contains(["WriteState", "LockState"], statement.Sid)
    ])) == toset(["arn:aws:s3:::state-of-acme/dogbreed/prod.tfstate", "arn:aws:s3:::state-of-acme/dogbreed/prod.tfstate.tflock"])
    error_message = "The roles follow the bucket's name."
  }
}

run "refuses_what_would_trust_too_many" {
  command = plan
  variables {
    project                  = "DogBreed"
    region                   = "us_east_1"
    state_bucket_name        = "State_Bucket"
    github_repository        = "acme/*"
    github_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.example.com"
    apply_environments       = { "production:*" = "Prod" }
    allowed_account_ids      = ["1234"]
  }
  expect_failures = [
    var.project, var.region, var.state_bucket_name, var.github_repository,
    var.github_oidc_provider_arn, var.apply_environments, var.allowed_account_ids,
  ]
}

run "refuses_a_number_that_is_none" {
  command = plan
  variables {
    github_repository     = "acme/dogs"
    github_repository_ids = { owner_id = 0, repository_id = 1 }
  }
  expect_failures = [var.github_repository_ids]
}

run "refuses_numbers_without_a_repository" {
  command = plan
  variables { github_repository_ids = { owner_id = 1, repository_id = 2 } }
  expect_failures = [var.github_repository_ids]
}

run "refuses_an_environment_named_like_its_own_roles" {
  command = plan
  variables {
    github_repository  = "acme/dogs"
    apply_environments = { production = "apply" }
  }
  expect_failures = [var.apply_environments]
}

run "refuses_one_environment_for_two" {
  command = plan
  variables {
    github_repository  = "acme/dogs"
    apply_environments = { production = "prod", staging = "prod" }
  }
  expect_failures = [var.apply_environments]
}
