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

output "alarm_names" {
  description = "Alarms of the function."
  value       = [aws_cloudwatch_metric_alarm.errors.alarm_name, aws_cloudwatch_metric_alarm.throttles.alarm_name]
}
