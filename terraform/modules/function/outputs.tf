output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "alias" {
  description = "Alias through which the function is called."
  value       = aws_lambda_alias.live.name
}

output "url" {
  description = "URL of the alias; takes only requests signed with AWS credentials."
  value       = aws_lambda_function_url.live.function_url
}
