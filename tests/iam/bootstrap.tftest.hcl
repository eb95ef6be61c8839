# Renders the policies of terraform/bootstrap for tests/iam, as main.tftest.hcl does those of the main root.

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

variables {
  github_repository     = "acme/dogs"
  github_repository_ids = { owner_id = 1, repository_id = 2 }
  apply_environments    = { production = "local" }
}

override_resource {
  target          = aws_s3_bucket.state
  override_during = plan
  values          = { id = "terraform-state-123456789012" }
}

override_resource {
  target          = aws_iam_policy.boundary
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-boundary" }
}

override_resource {
  target          = aws_iam_policy.read["local"]
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-read-local" }
}

override_resource {
  target          = aws_iam_policy.apply["local-roles"]
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-apply-local-roles" }
}

override_resource {
  target          = aws_iam_policy.apply["local-storage"]
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-apply-local-storage" }
}

override_resource {
  target          = aws_iam_policy.apply["local-serving"]
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-apply-local-serving" }
}

override_resource {
  target          = aws_iam_policy.apply["local-operations"]
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-apply-local-operations" }
}

override_resource {
  target          = aws_iam_policy.apply["local-network"]
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dogbreed-apply-local-network" }
}

run "bootstrap" {
  command = plan
}
