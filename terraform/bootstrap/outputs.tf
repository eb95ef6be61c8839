output "state_bucket" {
  description = "Bucket of every environment's state."
  value       = aws_s3_bucket.state.bucket
}

output "plan_role_arn" {
  description = "Role of the workflows that only look; the repository's variable AWS_PLAN_ROLE_ARN. Null without github_repository."
  value       = one(aws_iam_role.plan[*].arn)
}

output "apply_role_arns" {
  description = "Role that applies each environment; the variable AWS_APPLY_ROLE_ARN of that environment in GitHub."
  value       = { for environment, role in aws_iam_role.apply : environment => role.arn }
}

output "permissions_boundary_arn" {
  description = "Policy that bounds every role which an apply role makes."
  value       = aws_iam_policy.boundary.arn
}
