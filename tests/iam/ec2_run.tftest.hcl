# Renders the policies of terraform/ec2_run for tests/iam, as main.tftest.hcl does those of the main root.

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
  environment              = "local"
  run_id                   = "run-a"
  data_bucket              = "dogbreed-local-data-123456789012"
  artifacts_bucket         = "dogbreed-local-artifacts-123456789012"
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000"
  training                 = { dataset = "dogs", source_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  permissions_boundary_arn = "arn:aws:iam::123456789012:policy/dogbreed-boundary"
}

override_resource {
  target          = aws_iam_role.this
  override_during = plan
  values          = { id = "dogbreed-local-ec2-run-a", arn = "arn:aws:iam::123456789012:role/dogbreed-local-ec2-run-a" }
}

run "ec2_run" {
  command = plan
}
