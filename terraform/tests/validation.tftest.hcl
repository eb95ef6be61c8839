# Each variable refuses what AWS would refuse later, or what would do harm. A plan names every variable that is wrong,
# so one run tries as many as it can.

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
  environment                   = "test"
  function_package              = "./versions.tf"
  function_reserved_concurrency = 100
}

run "refuses_names_and_shapes" {
  command = plan
  variables {
    project                      = "DogBreed"
    environment                  = "pre-prod"
    region                       = "us_east_1"
    training_instance_type       = "m5.xlarge"
    endpoint_instance_type       = "c7i.large"
    serving_image_uri            = "docker.io/library/python:3.13"
    training_registry_account_id = "763104351884.dkr"
    function_package             = "./no-such.zip"
    commit                       = "12933b4; rm"
    allowed_account_ids          = ["prod"]
    permissions_boundary_arn     = "dogbreed-boundary"
    network                      = { cidr_block = "10.20.0.0/28" }
    endpoint_scaling             = { metric = "SageMakerVariantInvocationPerInstance" }
    function_allowed_url_hosts   = ["https://images.example.com"]
    function_allowed_s3_prefixes = ["s3://photographs/"] # a whole bucket
    function_cors_origins        = ["*"]
  }
  expect_failures = [
    var.project,
    var.environment,
    var.region,
    var.training_instance_type,
    var.endpoint_instance_type,
    var.serving_image_uri,
    var.training_registry_account_id,
    var.function_package,
    var.commit,
    var.allowed_account_ids,
    var.permissions_boundary_arn,
    var.network,
    var.endpoint_scaling,
    var.function_allowed_url_hosts,
    var.function_allowed_s3_prefixes,
    var.function_cors_origins,
  ]
}

run "refuses_numbers_out_of_range" {
  command = plan
  variables {
    function_timeout_seconds         = 69
    function_memory_mb               = 64
    log_retention_days               = 31
    function_reserved_concurrency    = 0
    function_provisioned_concurrency = null
    endpoint_scaling                 = { min_instances = 4 }
    endpoint_capture_percent         = 101
    network                          = { availability_zones = 1 }
    allowed_account_ids              = []
  }
  expect_failures = [
    var.function_timeout_seconds,
    var.function_memory_mb,
    var.log_retention_days,
    var.function_reserved_concurrency,
    var.endpoint_scaling,
    var.endpoint_capture_percent,
    var.network,
    var.allowed_account_ids,
  ]
}

run "refuses_provisioned_above_reserved_and_emptying_prod" {
  command = plan
  variables {
    environment                      = "prod"
    empty_buckets_on_destroy         = true
    function_reserved_concurrency    = 5
    function_provisioned_concurrency = 6
    endpoint_scaling                 = { metric = "SageMakerVariantInvocationsPerInstance" } # without its target
  }
  expect_failures = [
    var.empty_buckets_on_destroy,
    var.function_provisioned_concurrency,
    var.endpoint_scaling,
  ]
}

run "refuses_target_zero" {
  command = plan
  variables {
    endpoint_scaling = { target_simultaneous_requests = 0 }
    notebook         = { instance_type = "t3.medium" }
  }
  expect_failures = [var.endpoint_scaling, var.notebook]
}

run "refuses_target_beyond_what_an_instance_takes" {
  command = plan
  variables {
    endpoint_scaling = { target_simultaneous_requests = 51 }
  }
  expect_failures = [var.endpoint_scaling]
}

run "refuses_cooldown_below_zero" {
  command = plan
  variables {
    endpoint_scaling = { scale_in_cooldown_seconds = -1 }
    notebook         = { idle_minutes = 5 }
  }
  expect_failures = [var.endpoint_scaling, var.notebook]
}

run "refuses_a_repository_that_is_no_address" {
  command = plan
  variables { notebook = { repository_url = "https://example.com/a.git'; reboot" } }
  expect_failures = [var.notebook]
}

run "refuses_a_clone_without_internet" {
  command = plan
  variables {
    notebook = { repository_url = "https://example.com/a.git" }
    network  = {}
  }
  override_data {
    target = module.network[0].data.aws_vpc_endpoint_service.interface
    values = { availability_zones = ["us-east-1a", "us-east-1b"] }
  }
  expect_failures = [var.notebook]
}
