# The seam that the Makefile and ops/ read. A name here is a promise; see tests/terraform.

output "region" {
  description = "AWS region that holds everything."
  value       = var.region
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

output "training_instance_type" {
  description = "Instance type of the training jobs."
  value       = var.training_instance_type
}
