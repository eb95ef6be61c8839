output "instance_id" {
  description = "The instance: aws ssm start-session --target <instance id>."
  value       = aws_instance.this.id
}

output "name" {
  description = "Name of the run's role, profile, template and security group."
  value       = local.name
}
