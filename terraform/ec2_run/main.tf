data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_default_tags" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition

  # A role's name ends at 64 characters; longer ones keep apart by a hash.
  full_name = "${var.project}-${var.environment}-ec2-${var.run_id}"
  name      = length(local.full_name) <= 64 ? local.full_name : "${substr(local.full_name, 0, 55)}-${substr(sha256(local.full_name), 0, 8)}"

  user_data = var.training == null ? null : templatefile("${path.module}/../../ec2_bootstrap/user_data.sh.tftpl", merge(var.training, {
    run_id           = var.run_id
    region           = var.region
    data_bucket      = var.data_bucket
    artifacts_bucket = var.artifacts_bucket
  }))
}

resource "aws_launch_template" "this" {
  name                                 = local.name
  description                          = "Training run ${var.run_id}."
  image_id                             = "resolve:ssm:${var.ami_ssm_parameter}"
  instance_type                        = var.instance_type
  instance_initiated_shutdown_behavior = "terminate" # the run ends with a poweroff, and its cost with it
  update_default_version               = true
  user_data                            = local.user_data == null ? null : base64encode(local.user_data)
  vpc_security_group_ids               = [aws_security_group.this.id]
  ebs_optimized                        = true

  iam_instance_profile {
    name = aws_iam_instance_profile.this.name
  }

  # One hop: what runs in a container on the instance, or comes in through a proxy, does not get the role's credentials.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda" # the root volume of Amazon Linux

    ebs {
      volume_type           = "gp3"
      volume_size           = var.volume_gb
      encrypted             = true
      kms_key_id            = var.key_arn
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true # every minute: five would miss most of a short run
  }

  lifecycle {
    precondition {
      # Counted on the base64 text, because length() counts characters: four of it are three bytes.
      condition     = local.user_data == null ? true : length(base64encode(local.user_data)) / 4 * 3 <= 16384
      error_message = "training: with these arguments the user-data is longer than EC2's 16,384 bytes."
    }
  }
}

resource "aws_instance" "this" {
  #checkov:skip=CKV_AWS_8:The launch template encrypts the volume.
  #checkov:skip=CKV_AWS_79:The launch template asks for tokens.
  #checkov:skip=CKV_AWS_126:The launch template turns detailed monitoring on.
  #checkov:skip=CKV_AWS_135:The launch template says EBS-optimized.
  #checkov:skip=CKV2_AWS_41:The launch template names the instance profile.

  subnet_id = var.subnet_id

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  tags        = { Name = local.name }
  volume_tags = merge(data.aws_default_tags.current.tags, { Name = local.name }) # the provider's own do not reach volumes

  lifecycle {
    # The provider hashes the hash that it holds, sees a difference and would stop a running training to mend it
    # (hashicorp/terraform-provider-aws, issues 30825 and 39476).
    ignore_changes = [user_data]
  }

  # The run starts with the instance.
  depends_on = [aws_iam_role_policy.this, aws_vpc_security_group_egress_rule.https]
}

data "aws_subnet" "this" {
  count = var.subnet_id == null ? 0 : 1

  id = var.subnet_id
}

# Nothing comes in: whoever must look inside does so by Session Manager, which the instance itself connects to.
resource "aws_security_group" "this" {
  name        = local.name
  description = "Training run ${var.run_id}: nothing in, HTTPS out."
  vpc_id      = one(data.aws_subnet.this[*].vpc_id) # null is the default VPC
  ingress     = []                                  # said outright, so that a rule made by hand goes with the next apply
}

# To S3, KMS, Session Manager and the packages' registry, whose addresses change. Names resolve inside the VPC, where
# no security group stands between.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}
