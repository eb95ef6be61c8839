# The network module by itself: that nothing leads out of it, and who passes its endpoints.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  prefix             = "dogbreed-test"
  account            = { id = "123456789012", partition = "aws", region = "us-east-1" }
  cidr_block         = "10.20.0.0/16"
  availability_zones = 2
  bucket_arns        = ["arn:aws:s3:::data", "arn:aws:s3:::artifacts"]
}

override_data {
  target = data.aws_vpc_endpoint_service.interface
  values = { availability_zones = ["us-east-1a", "us-east-1b", "us-east-1c"] }
}

# One service is missing from the first zone, as happens in us-east-1.
override_data {
  target = data.aws_vpc_endpoint_service.interface["sts"]
  values = { availability_zones = ["us-east-1b", "us-east-1c", "us-east-1d"] }
}

override_resource {
  target          = aws_vpc.this
  override_during = plan
  values          = { id = "vpc-1" }
}

override_resource {
  target          = aws_subnet.this["us-east-1b"]
  override_during = plan
  values          = { id = "subnet-b" }
}

override_resource {
  target          = aws_subnet.this["us-east-1c"]
  override_during = plan
  values          = { id = "subnet-c" }
}

override_resource {
  target          = aws_route_table.this
  override_during = plan
  values          = { id = "rtb-1" }
}

override_resource {
  target          = aws_security_group.workload
  override_during = plan
  values          = { id = "sg-workload" }
}

override_resource {
  target          = aws_security_group.endpoints
  override_during = plan
  values          = { id = "sg-endpoints" }
}

override_resource {
  target          = aws_vpc_endpoint.s3
  override_during = plan
  values          = { id = "vpce-s3", prefix_list_id = "pl-s3" }
}

run "private_subnets" {
  command = plan
  module { source = "./modules/network" }

  assert {
    condition = { for zone, subnet in aws_subnet.this : zone => subnet.cidr_block } == {
      us-east-1b = "10.20.0.0/20"
      us-east-1c = "10.20.16.0/20"
    }
    error_message = "A subnet in each of two zones that have every endpoint."
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.this : !subnet.map_public_ip_on_launch])
    error_message = "Nothing gets a public address."
  }
  assert {
    condition     = length(aws_route_table.this.route) == 0
    error_message = "No route leads to an internet gateway, nor anywhere else."
  }
  assert {
    condition     = keys(aws_route_table_association.this) == keys(aws_subnet.this) && alltrue([for association in aws_route_table_association.this : association.route_table_id == "rtb-1"])
    error_message = "A subnet left out would have the main route table, which anybody may fill."
  }
  assert {
    condition     = aws_vpc.this.enable_dns_support && aws_vpc.this.enable_dns_hostnames
    error_message = "The endpoints' private names need both."
  }

  # Interface endpoints
  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["logs", "sagemaker.api", "sts"]
    error_message = "Each is billed by the hour: only what is called from inside."
  }
  assert {
    condition = alltrue([for endpoint in aws_vpc_endpoint.interface :
      endpoint.private_dns_enabled && endpoint.subnet_ids == toset(["subnet-b", "subnet-c"]) && endpoint.security_group_ids == toset(["sg-endpoints"])
    ])
    error_message = "Each is in every zone, under the service's public name, behind its own group."
  }
  assert {
    condition = { for name, policy in data.aws_iam_policy_document.interface : name => jsondecode(policy.json).Statement } == {
      for name, action in { "logs" = "logs:*", "sagemaker.api" = "sagemaker:*", "sts" = "sts:*" } : name => [{
        Sid       = "OwnAccountOnly"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = action
        Resource  = "*"
        Condition = { StringEquals = { "aws:PrincipalAccount" = "123456789012" } }
      }]
    }
    error_message = "Only callers of this account pass, only to this service."
  }
  assert {
    condition     = alltrue([for name, endpoint in aws_vpc_endpoint.interface : jsondecode(endpoint.policy) == jsondecode(data.aws_iam_policy_document.interface[name].json)])
    error_message = "An endpoint without its policy lets everybody through."
  }

  # The endpoint of S3
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.route_table_ids == toset(["rtb-1"])
    error_message = "The free kind, in the subnets' route table."
  }
  assert {
    condition = jsondecode(aws_vpc_endpoint.s3.policy).Statement == [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = "s3:ListBucket"
        Resource  = ["arn:aws:s3:::data", "arn:aws:s3:::artifacts"]
        Condition = { StringEquals = { "aws:PrincipalAccount" = "123456789012" } }
      },
      {
        Sid       = "OwnObjects"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
        Resource  = ["arn:aws:s3:::data/*", "arn:aws:s3:::artifacts/*"]
        Condition = { StringEquals = { "aws:PrincipalAccount" = "123456789012" } }
      },
    ]
    error_message = "Only this account's callers, only the project's buckets."
  }

  # Security groups
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.workload.security_group_id == "sg-workload"
      && aws_vpc_security_group_ingress_rule.workload.referenced_security_group_id == "sg-workload"
      && aws_vpc_security_group_ingress_rule.workload.cidr_ipv4 == null
    )
    error_message = "Workloads hear each other and nobody else."
  }
  assert {
    condition = { for name, rule in aws_vpc_security_group_egress_rule.workload :
      name => jsonencode([rule.security_group_id, rule.ip_protocol, rule.from_port, rule.to_port, rule.referenced_security_group_id, rule.prefix_list_id, rule.cidr_ipv4])
      } == {
      peers     = jsonencode(["sg-workload", "-1", null, null, "sg-workload", null, null])
      endpoints = jsonencode(["sg-workload", "tcp", 443, 443, "sg-endpoints", null, null])
      s3        = jsonencode(["sg-workload", "tcp", 443, 443, null, "pl-s3", null])
    }
    error_message = "Workloads reach each other, the endpoints and S3; no range of addresses."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.endpoints.security_group_id == "sg-endpoints"
      && aws_vpc_security_group_ingress_rule.endpoints.referenced_security_group_id == "sg-workload"
      && aws_vpc_security_group_ingress_rule.endpoints.from_port == 443
      && aws_vpc_security_group_ingress_rule.endpoints.to_port == 443
    )
    error_message = "The endpoints hear the workloads only."
  }
  assert {
    condition     = output.subnet_ids == ["subnet-b", "subnet-c"] && output.security_group_ids == ["sg-workload"]
    error_message = "What a workload is given."
  }

  # Execution roles. A plan does not render a document that refers to resources yet to be made, but shows what it is made
  # from.
  assert {
    condition = { for statement in data.aws_iam_policy_document.this.statement : statement.sid => {
      actions    = sort(statement.actions)
      resources  = sort(statement.resources)
      conditions = jsonencode([for condition in statement.condition : [condition.test, condition.variable, condition.values]])
      } } == {
      CreateNetworkInterfaces = {
        actions = tolist(["ec2:CreateNetworkInterface"])
        resources = tolist([
          "arn:aws:ec2:us-east-1:123456789012:network-interface/*",
          "arn:aws:ec2:us-east-1:123456789012:security-group/sg-workload",
          "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-b",
          "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-c",
        ])
        conditions = "[]"
      }
      LendAndDeleteNetworkInterfaces = {
        actions   = tolist(["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"])
        resources = tolist(["arn:aws:ec2:us-east-1:123456789012:network-interface/*"])
        conditions = jsonencode([["ArnEquals", "ec2:Subnet", [
          "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-b",
          "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-c",
        ]]])
      }
      SeeNetwork = {
        actions    = tolist(["ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"])
        resources  = tolist(["*"])
        conditions = "[]"
      }
    }
    error_message = "Network interfaces in these subnets and under this group; elsewhere none can be made, lent or deleted."
  }
}

run "three_zones" {
  command = plan
  module { source = "./modules/network" }
  variables {
    availability_zones = 3
  }

  override_data {
    target = data.aws_vpc_endpoint_service.interface["sts"]
    values = { availability_zones = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }

  assert {
    condition     = keys(aws_subnet.this) == ["us-east-1a", "us-east-1b", "us-east-1c"]
    error_message = "As many zones as asked for."
  }
}
