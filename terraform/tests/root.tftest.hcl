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

override_resource {
  target          = module.storage.aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:us-east-1:123456789012:key/k", key_id = "k" }
}

variables {
  environment      = "test"
  function_package = "./versions.tf" # any file does: a plan only hashes it
}

run "seed_defaults" {
  command = plan

  assert {
    condition     = var.function_reserved_concurrency == 5 && var.function_provisioned_concurrency == 2
    error_message = "The seed reserved 5 and provisioned 2."
  }
  assert {
    condition = jsonencode(var.endpoint_scaling) == jsonencode({
      min_instances                 = 1
      max_instances                 = 3
      metric                        = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
      target_simultaneous_requests  = 20
      target_invocations_per_minute = null
      scale_in_cooldown_seconds     = 30
      scale_out_cooldown_seconds    = 30
    })
    error_message = "The seed scaled from 1 to 3 at 20 simultaneous requests, with cooldowns of 30 s."
  }
  assert {
    condition     = var.training_instance_type == "ml.m5.xlarge" && var.notebook.instance_type == "ml.t3.medium"
    error_message = "The seed trained on ml.m5.xlarge, from a notebook on ml.t3.medium."
  }
  assert {
    condition     = var.network == null && length(module.network) == 0
    error_message = "The network is billed by the hour: only who asks for it pays."
  }
  assert {
    condition     = !var.empty_buckets_on_destroy && !var.emulated
    error_message = "Nothing is emptied, and nothing emulated, unless an environment's file says so."
  }

  # The seed's own numbers cannot meet: at most 5 requests come in, and 20 are needed to scale out.
  expect_failures = [check.scaling_can_be_reached]
}

run "names_and_empty_release_list" {
  command = plan
  variables { function_reserved_concurrency = 21 }

  assert {
    condition = [output.data_bucket, output.artifacts_bucket] == [
      "dogbreed-test-data-123456789012", "dogbreed-test-artifacts-123456789012",
    ]
    error_message = "Buckets are <project>-<environment>-<purpose>-<account>."
  }
  assert {
    condition = [output.releases_parameter, output.serving_parameter, output.instance_counts_parameter, output.image_parameter] == [
      "/dogbreed/test/releases", "/dogbreed/test/serving", "/dogbreed/test/instance_counts", "/dogbreed/test/image",
    ]
    error_message = "Parameters are /<project>/<environment>/<name>."
  }
  assert {
    condition     = aws_ssm_parameter.releases.insecure_value == "none" && local.releases == [] && local.serving
    error_message = "A new environment has no release and is on."
  }
  assert {
    condition     = aws_ssm_parameter.image.insecure_value == "none" && local.image_uri == null && output.serving_image_uri == null
    error_message = "It has no image either, and needs none before its first release."
  }
  assert {
    condition = (
      output.image_repository_url == "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving"
      && local.image_repository_url == output.image_repository_url
      && output.image_project_name == "dogbreed-test-serving-image"
    )
    error_message = "Images are built for <project>-<environment>-serving, and pulled from there."
  }
  assert {
    condition     = [output.endpoint_name, output.function_name, output.function_alias] == ["dogbreed-test", "dogbreed-test-predict", "live"]
    error_message = "The names are known before any release exists."
  }
}

run "scaling_by_invocations_is_not_checked_against_concurrency" {
  command = plan
  variables {
    endpoint_scaling = { metric = "SageMakerVariantInvocationsPerInstance", target_invocations_per_minute = 600 }
  }

  assert {
    condition     = var.endpoint_scaling.target_invocations_per_minute == 600
    error_message = "The per-minute metric has a target of its own."
  }
}

run "two_instances_need_more_than_two_targets" {
  command = plan
  variables {
    endpoint_scaling              = { min_instances = 2 }
    function_reserved_concurrency = 40
  }
  expect_failures = [check.scaling_can_be_reached]
}

run "concurrency_may_be_left_to_aws_and_the_image_be_named" {
  command = plan
  variables {
    serving_image_uri                = "210987654321.dkr.ecr.us-east-1.amazonaws.com/our/dogs@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    function_reserved_concurrency    = null
    function_provisioned_concurrency = null
  }

  assert {
    condition     = var.function_reserved_concurrency == null && var.function_provisioned_concurrency == null
    error_message = "null stays null."
  }
  assert {
    condition     = local.image_uri == var.serving_image_uri && output.serving_image_uri == var.serving_image_uri
    error_message = "An image that the environment's file names goes before those that are built."
  }
  assert {
    condition     = local.image_repository_url == "210987654321.dkr.ecr.us-east-1.amazonaws.com/our/dogs"
    error_message = "It is pulled from where it is."
  }
}

run "network_on" {
  command = plan
  override_data {
    target = module.network[0].data.aws_vpc_endpoint_service.interface
    values = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  variables {
    network                       = {}
    function_reserved_concurrency = 21
  }

  assert {
    condition     = length(module.network) == 1 && length(module.network[0].subnet_ids) == 2
    error_message = "One variable makes the network."
  }
}
