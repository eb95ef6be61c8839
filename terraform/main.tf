data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  prefix = "${var.project}-${var.environment}"

  # The modules build ARNs from names, as locals: Terraform would read a policy document that refers to a resource
  # only after that is made, and the first plan would show no policy.
  account = {
    id        = data.aws_caller_identity.current.account_id
    partition = data.aws_partition.current.partition
    region    = var.region
  }

  # Named here, not in their modules, because others speak of them before they exist.
  endpoint_name = local.prefix
  function_name = "${local.prefix}-predict"

  image_project_name = "${local.prefix}-serving-image"
}

module "storage" {
  source = "./modules/storage"

  prefix  = local.prefix
  account = local.account
  log_group_names = [
    "/aws/codebuild/${local.image_project_name}",
    "/aws/lambda/${local.function_name}",
    "/aws/sagemaker/Endpoints/${local.endpoint_name}",
  ]
  empty_on_destroy = var.empty_buckets_on_destroy
}

module "network" {
  source = "./modules/network"
  count  = var.network == null ? 0 : 1

  prefix             = local.prefix
  account            = local.account
  cidr_block         = var.network.cidr_block
  availability_zones = var.network.availability_zones
  bucket_arns        = values(module.storage.buckets)[*].arn
}

module "training" {
  source = "./modules/training"

  prefix                   = local.prefix
  account                  = local.account
  registry_account_id      = var.training_registry_account_id
  buckets                  = module.storage.buckets
  key_arn                  = module.storage.key_arn
  notebook                 = var.notebook
  network                  = one(module.network[*])
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "endpoint" {
  source = "./modules/endpoint"

  name                     = local.endpoint_name
  account                  = local.account
  releases                 = local.releases
  serving                  = local.serving
  artifacts_bucket         = module.storage.buckets.artifacts
  key_arn                  = module.storage.key_arn
  image_uri                = local.image_uri
  image_repository_url     = local.image_repository_url
  instance_type            = var.endpoint_instance_type
  scaling                  = var.endpoint_scaling
  capture_percent          = var.endpoint_capture_percent
  network                  = one(module.network[*])
  topic_arn                = module.operations.topic_arn
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "function" {
  source = "./modules/function"

  name                     = local.function_name
  account                  = local.account
  package                  = var.function_package
  memory_mb                = var.function_memory_mb
  timeout_seconds          = var.function_timeout_seconds
  reserved_concurrency     = var.function_reserved_concurrency
  provisioned_concurrency  = var.function_provisioned_concurrency
  endpoint_name            = local.endpoint_name
  allowed_url_hosts        = var.function_allowed_url_hosts
  allowed_s3_prefixes      = var.function_allowed_s3_prefixes
  cors_origins             = var.function_cors_origins
  key_arn                  = module.storage.key_arn
  topic_arn                = module.operations.topic_arn
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "operations" {
  source = "./modules/operations"

  prefix             = local.prefix
  account            = local.account
  project            = var.project
  key_arn            = module.storage.key_arn
  alert_email        = var.alert_email
  endpoint_name      = local.endpoint_name
  variant_name       = module.endpoint.variant_name
  function_name      = local.function_name
  function_alias     = module.function.alias
  alarm_names        = concat(module.endpoint.alarm_names, module.function.alarm_names)
  monthly_budget_usd = var.monthly_budget_usd
  unused_access_days = var.unused_access_days
}

# The seed's own numbers do not meet, and stay the defaults: this says so on every plan.
check "scaling_can_be_reached" {
  assert {
    condition = (
      var.function_reserved_concurrency == null || var.endpoint_scaling.metric != "SageMakerVariantConcurrentRequestsPerModelHighResolution"
      ? true
      : var.function_reserved_concurrency > var.endpoint_scaling.target_simultaneous_requests * var.endpoint_scaling.min_instances
    )
    error_message = "The endpoint will not scale out for the function: function_reserved_concurrency lets ${coalesce(var.function_reserved_concurrency, 0)} requests through at once, and endpoint_scaling adds an instance above ${var.endpoint_scaling.target_simultaneous_requests} on each of ${var.endpoint_scaling.min_instances}."
  }
}
