# The ways out, each to one AWS service.

locals {
  # Training jobs and endpoints need none of these. What SageMaker does for them it does from its own network: it pulls
  # images from ECR (CreateTrainingJob, TrainingRepositoryAccessMode Platform) and delivers logs and metrics, also of
  # containers under network isolation. Their photographs and models alone come and go through this network, by S3
  # (CreateTrainingJob, EnableNetworkIsolation), which also asks KMS for the buckets' key by itself. So ecr.api, ecr.dkr,
  # monitoring and kms would be paid for and never used; nobody inside invokes the endpoint (sagemaker.runtime). The
  # notebook calls AWS itself:
  interface_services = toset([
    "logs",          # it follows the log of a job
    "sagemaker.api", # it starts, watches and stops jobs, and stops itself when idle
    "sts",           # the SageMaker SDK asks whose account it is in
  ])
}

data "aws_vpc_endpoint_service" "interface" {
  for_each = local.interface_services

  service_name = "com.amazonaws.${var.account.region}.${each.key}"
  service_type = "Interface"
}

# Without it, stolen credentials of another account could carry photographs out through the endpoints. What the callers
# of this account may do, their roles say.
data "aws_iam_policy_document" "interface" {
  for_each = local.interface_services

  #checkov:skip=CKV_AWS_107:This bounds who may pass; permissions come from the roles alone.
  #checkov:skip=CKV_AWS_108:This bounds who may pass; permissions come from the roles alone.
  #checkov:skip=CKV_AWS_109:This bounds who may pass; permissions come from the roles alone.
  #checkov:skip=CKV_AWS_111:This bounds who may pass; permissions come from the roles alone.
  #checkov:skip=CKV_AWS_356:This bounds who may pass; permissions come from the roles alone.

  statement {
    sid       = "OwnAccountOnly"
    actions   = ["${split(".", each.key)[0]}:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [var.account.id]
    }
  }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_services

  vpc_id              = aws_vpc.this.id
  service_name        = data.aws_vpc_endpoint_service.interface[each.key].service_name
  vpc_endpoint_type   = "Interface"
  subnet_ids          = [for subnet in aws_subnet.this : subnet.id]
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true # clients go on using the services' public names
  policy              = data.aws_iam_policy_document.interface[each.key].json

  tags = { Name = "${var.prefix}-${each.key}" }
}

# No other bucket, whoever asks: not ECR's layers (SageMaker pulls images outside, see above), not the repositories of
# Amazon Linux, which S3's default endpoint policy lets through (Developer Guide, "Give SageMaker AI Training Jobs
# Access to Resources in Your Amazon VPC").
data "aws_iam_policy_document" "s3" {
  statement {
    sid       = "OwnBuckets"
    actions   = ["s3:ListBucket"]
    resources = var.bucket_arns

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [var.account.id]
    }
  }

  statement {
    sid       = "OwnObjects"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = [for arn in var.bucket_arns : "${arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [var.account.id]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.account.region}.s3"
  vpc_endpoint_type = "Gateway" # free, unlike the interface to S3
  route_table_ids   = [aws_route_table.this.id]
  policy            = data.aws_iam_policy_document.s3.json

  tags = { Name = "${var.prefix}-s3" }
}
