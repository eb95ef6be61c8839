resource "aws_security_group" "workload" {
  #checkov:skip=CKV2_AWS_5:SageMaker attaches it when a job, an endpoint or the notebook starts.

  name        = "${var.prefix}-workload"
  description = "Training jobs, endpoints and the notebook: each other, the endpoints and S3, nothing else."
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.prefix}-workload" }
}

# The hosts of one training job talk to each other on ports that they choose as they go, with EFA outside TCP
# (Developer Guide, "Give SageMaker AI Training Jobs Access to Resources in Your Amazon VPC").
resource "aws_vpc_security_group_ingress_rule" "workload" {
  security_group_id            = aws_security_group.workload.id
  description                  = "Hosts of one training job among themselves"
  ip_protocol                  = "-1"
  referenced_security_group_id = aws_security_group.workload.id
}

resource "aws_vpc_security_group_egress_rule" "workload" {
  for_each = {
    peers     = { description = "Hosts of one training job among themselves", group = aws_security_group.workload.id, prefix_list = null, port = null }
    endpoints = { description = "AWS services by their interface endpoints", group = aws_security_group.endpoints.id, prefix_list = null, port = 443 }
    s3        = { description = "S3 by its gateway endpoint", group = null, prefix_list = aws_vpc_endpoint.s3.prefix_list_id, port = 443 }
  }

  security_group_id            = aws_security_group.workload.id
  description                  = each.value.description
  ip_protocol                  = each.value.port == null ? "-1" : "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.group
  prefix_list_id               = each.value.prefix_list
}

resource "aws_security_group" "endpoints" {
  name        = "${var.prefix}-endpoints"
  description = "Interface endpoints: asked by the workloads, asking nobody."
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.prefix}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id            = aws_security_group.endpoints.id
  description                  = "Workloads"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.workload.id
}
