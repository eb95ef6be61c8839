output "configuration_names" {
  description = "Endpoint configuration of each listed release, by run_id."
  value       = local.configuration_names
}
