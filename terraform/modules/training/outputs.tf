output "role_arn" {
  description = "Execution role of the training jobs."
  value       = aws_iam_role.this.arn

  # Who holds the ARN may start a job with it at once.
  depends_on = [aws_iam_role_policy.this]
}

output "notebook_name" {
  description = "Name of the notebook instance; null where there is none."
  value       = one(aws_sagemaker_notebook_instance.this[*].name)
}
