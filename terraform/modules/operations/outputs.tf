output "topic_arn" {
  description = "Topic that alarms report to. Built from names: what reports to it does not wait for it."
  value       = local.topic_arn
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
