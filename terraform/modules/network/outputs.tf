output "subnet_ids" {
  description = "Private subnets, one in each zone."
  value       = [for subnet in aws_subnet.this : subnet.id]
}

output "security_group_ids" {
  description = "What a workload in the network carries."
  value       = [aws_security_group.workload.id]

  # Who holds the group may start a workload with it at once.
  depends_on = [
    aws_vpc_security_group_egress_rule.workload,
    aws_vpc_security_group_ingress_rule.workload,
    aws_route_table_association.this,
    aws_vpc_endpoint.interface,
  ]
}

output "interface_endpoint_count" {
  description = "Interface endpoints times zones: how many are billed."
  value       = length(local.interface_services) * var.availability_zones
}

output "policy_json" {
  description = "What an execution role needs beside its own policy to attach network interfaces here."
  value       = data.aws_iam_policy_document.this.json
}
