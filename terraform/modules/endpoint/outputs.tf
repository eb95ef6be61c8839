output "configuration_names" {
  description = "Endpoint configuration of each listed release, by run_id."
  value       = local.configuration_names
}

output "variant_name" {
  description = "The one production variant of every configuration."
  value       = local.variant
}

output "alarm_names" {
  description = "Alarms that send a deployment back."
  value       = values(aws_cloudwatch_metric_alarm.rollback)[*].alarm_name
}
