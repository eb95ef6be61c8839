# A network that nothing leaves: no internet gateway, no NAT, no route but the one that the S3 endpoint adds.

locals {
  # Not every zone has every interface endpoint (one of us-east-1's six lacks some), and which zone that is differs
  # from account to account.
  zones = sort(setintersection([for service in data.aws_vpc_endpoint_service.interface : service.availability_zones]...))

  subnets = { for index, zone in slice(local.zones, 0, var.availability_zones) :
    zone => cidrsubnet(var.cidr_block, 4, index)
  }
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:Flow logs would show only traffic to AWS services, which CloudTrail records by caller.

  cidr_block           = var.cidr_block
  enable_dns_support   = true
  enable_dns_hostnames = true # without it the endpoints' private names do not resolve

  tags = { Name = var.prefix }
}

# Whatever forgets to name a security group gets this one, and with it no connection at all.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.prefix}-none" }
}

resource "aws_subnet" "this" {
  for_each = local.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false

  tags = { Name = "${var.prefix}-${each.key}" }
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id
  route  = [] # said outright, so that a route made by hand shows as a difference

  tags = { Name = var.prefix }
}

resource "aws_route_table_association" "this" {
  for_each = local.subnets

  subnet_id      = aws_subnet.this[each.key].id
  route_table_id = aws_route_table.this.id
}
