# The seam that the Makefile and ops/ read. A name here is a promise; see tests/terraform.

output "region" {
  description = "AWS region that holds everything."
  value       = var.region
}

output "project" {
  description = "Project: the tag on everything, and what names begin with."
  value       = var.project
}

output "data_bucket" {
  description = "Bucket of the data sets."
  value       = module.storage.buckets.data.name
}

output "artifacts_bucket" {
  description = "Bucket of the sources, wheels, runs and checkpoints."
  value       = module.storage.buckets.artifacts.name
}

output "training_role_arn" {
  description = "Execution role of the training jobs."
  value       = module.training.role_arn
}

output "function_name" {
  description = "Name of the Lambda function."
  value       = module.function.name
}

output "function_alias" {
  description = "Alias through which the function is called; provisioned concurrency stands behind it."
  value       = module.function.alias
}

output "function_url" {
  description = "URL of the alias; takes only requests signed with AWS credentials."
  value       = module.function.url
}

output "endpoint_name" {
  description = "Name that the endpoint has, or will have with the first release."
  value       = local.endpoint_name
}

output "releases_parameter" {
  description = "SSM parameter that lists what can be served."
  value       = aws_ssm_parameter.releases.name
}

output "serving_parameter" {
  description = "SSM parameter that switches the endpoint on or off."
  value       = aws_ssm_parameter.serving.name
}

output "instance_counts_parameter" {
  description = "SSM parameter that keeps, for a release, the instances that autoscaling had when it went into service."
  value       = aws_ssm_parameter.instance_counts.name
}

output "image_repository_url" {
  description = "ECR repository of the serving images, to be followed by a tag."
  value       = module.image.repository_url
}

output "image_project_name" {
  description = "CodeBuild project that builds the serving image."
  value       = local.image_project_name
}

output "image_parameter" {
  description = "SSM parameter with the tag of the image that models are served with."
  value       = aws_ssm_parameter.image.name
}

output "serving_image_uri" {
  description = "Serving image that the environment's file names; null where it is to be built."
  value       = var.serving_image_uri
}

output "permissions_boundary_arn" {
  description = "Policy that bounds every role; null where there is none."
  value       = var.permissions_boundary_arn
}

output "notebook_name" {
  description = "Name of the notebook instance; null where there is none."
  value       = module.training.notebook_name
}

output "key_arn" {
  description = "ARN of the key that encrypts what is kept."
  value       = module.storage.key_arn
}

output "billed" {
  description = "What costs money by the hour, used or not. The endpoint is billed once there is a release, the notebook while it runs."
  value = {
    endpoint_instance_type  = var.endpoint_instance_type
    endpoint_instances      = var.endpoint_scaling.min_instances
    provisioned_concurrency = var.function_provisioned_concurrency == null ? 0 : var.function_provisioned_concurrency
    function_memory_mb      = var.function_memory_mb
    notebook_instance_type  = try(var.notebook.instance_type, null)
    interface_endpoints     = try(one(module.network[*]).interface_endpoint_count, 0)
  }
}

output "training_network" {
  description = "Subnets and security groups of the training jobs; null for SageMaker's own network."
  value       = one([for network in module.network : { subnets = network.subnet_ids, security_group_ids = network.security_group_ids }])
}

output "training_instance_type" {
  description = "Instance type of the training jobs."
  value       = var.training_instance_type
}

output "function_reserved_concurrency" {
  description = "Share of the account's concurrency kept for the function; null where none is."
  value       = var.function_reserved_concurrency
}
