# SageMaker places its network interfaces in the role's name (Developer Guide, "How to use SageMaker AI execution
# roles", the lists for a private VPC), and here only in these subnets. The conditions are those of the Service
# Authorization Reference for Amazon EC2. Not ec2:AuthorizedService: SageMaker grants the interface to an account of
# its own, and AWS names neither that nor a service.

locals {
  ec2_arn      = "arn:${var.account.partition}:ec2:${var.account.region}:${var.account.id}"
  workload_arn = "${local.ec2_arn}:security-group/${aws_security_group.workload.id}"
  subnet_arns  = [for subnet in aws_subnet.this : "${local.ec2_arn}:subnet/${subnet.id}"]
}

data "aws_iam_policy_document" "this" {
  statement {
    sid     = "CreateNetworkInterfaces"
    actions = ["ec2:CreateNetworkInterface"]
    resources = concat(local.subnet_arns, [
      "${local.ec2_arn}:network-interface/*",
      local.workload_arn,
    ])
  }

  statement {
    sid       = "LendAndDeleteNetworkInterfaces"
    actions   = ["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"]
    resources = ["${local.ec2_arn}:network-interface/*"]

    condition {
      test     = "ArnEquals"
      variable = "ec2:Subnet"
      values   = local.subnet_arns
    }
  }

  statement {
    sid       = "SeeNetwork"
    actions   = ["ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]
    resources = ["*"] # these actions know no resource
  }
}
