# Renders the policies of the main root for tests/iam: nothing is asserted here, Python reads the plans. Given is only
# what AWS makes up itself; the id of a role is its name. The environment is the stand-in's, so that these policies can
# be held against what the stand-in records.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  environment      = "local"
  function_package = "./versions.tf" # any file does: a plan only hashes it
  # The seed's numbers fail the check that says they do not fit together, and with it the run.
  function_reserved_concurrency = 100
  permissions_boundary_arn      = "arn:aws:iam::123456789012:policy/dogbreed-boundary"
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_resource {
  target          = aws_ssm_parameter.releases
  override_during = plan
  values          = { insecure_value = "none" }
}

override_resource {
  target          = aws_ssm_parameter.serving
  override_during = plan
  values          = { insecure_value = "on" }
}

override_resource {
  target          = module.storage.aws_s3_bucket.this["data"]
  override_during = plan
  values          = { id = "dogbreed-local-data-123456789012" }
}

override_resource {
  target          = module.storage.aws_s3_bucket.this["artifacts"]
  override_during = plan
  values          = { id = "dogbreed-local-artifacts-123456789012" }
}

override_resource {
  target          = module.storage.aws_s3_bucket.this["logs"]
  override_during = plan
  values          = { id = "dogbreed-local-logs-123456789012" }
}

override_resource {
  target          = module.storage.aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000" }
}

override_resource {
  target          = module.operations.aws_sns_topic.this
  override_during = plan
  values          = { arn = "arn:aws:sns:us-east-1:123456789012:dogbreed-local-alerts" }
}

override_resource {
  target          = module.training.aws_iam_role.this
  override_during = plan
  values          = { id = "dogbreed-local-training", arn = "arn:aws:iam::123456789012:role/dogbreed-local-training" }
}

override_resource {
  target          = module.training.aws_iam_role.notebook
  override_during = plan
  values          = { id = "dogbreed-local-notebook", arn = "arn:aws:iam::123456789012:role/dogbreed-local-notebook" }
}

override_resource {
  target          = module.image.aws_iam_role.this
  override_during = plan
  values          = { id = "dogbreed-local-serving-image", arn = "arn:aws:iam::123456789012:role/dogbreed-local-serving-image" }
}

override_resource {
  target          = module.endpoint.aws_iam_role.this
  override_during = plan
  values          = { id = "dogbreed-local-endpoint", arn = "arn:aws:iam::123456789012:role/dogbreed-local-endpoint" }
}

override_resource {
  target          = module.function.aws_iam_role.this
  override_during = plan
  values          = { id = "dogbreed-local-predict-function", arn = "arn:aws:iam::123456789012:role/dogbreed-local-predict-function" }
}

run "defaults" {
  command = plan
}

run "in_a_network" {
  command = plan

  variables {
    network = {}
  }

  override_data {
    target = module.network[0].data.aws_vpc_endpoint_service.interface
    values = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }

  override_resource {
    target          = module.network[0].aws_subnet.this["us-east-1a"]
    override_during = plan
    values          = { id = "subnet-a" }
  }

  override_resource {
    target          = module.network[0].aws_subnet.this["us-east-1b"]
    override_during = plan
    values          = { id = "subnet-b" }
  }

  override_resource {
    target          = module.network[0].aws_security_group.workload
    override_during = plan
    values          = { id = "sg-workload" }
  }
}
