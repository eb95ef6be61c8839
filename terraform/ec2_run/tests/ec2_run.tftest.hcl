# One run's instance: how it is shut, what it costs by default, and what its role may do.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_resource {
  target          = aws_security_group.this
  override_during = plan
  values          = { id = "sg-run" }
}

variables {
  environment      = "test"
  run_id           = "run-a"
  data_bucket      = "data"
  artifacts_bucket = "artifacts"
  key_arn          = "arn:aws:kms:us-east-1:123456789012:key/k"
}

run "seed_defaults" {
  command = plan

  assert {
    condition     = aws_launch_template.this.instance_type == "m5.xlarge"
    error_message = "The seed trained on m5.xlarge."
  }
  assert {
    condition     = aws_launch_template.this.image_id == "resolve:ssm:/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-amazon-linux-2023/latest/ami-id"
    error_message = "The Deep Learning AMI with PyTorch, in its newest build."
  }
  assert {
    condition     = aws_launch_template.this.instance_initiated_shutdown_behavior == "terminate"
    error_message = "A run that powers off stops costing."
  }
  assert {
    condition     = aws_launch_template.this.user_data == null
    error_message = "Nothing runs unless it is given."
  }
  assert {
    condition     = aws_launch_template.this.name == "dogbreed-test-ec2-run-a" && aws_iam_role.this.name == "dogbreed-test-ec2-run-a"
    error_message = "Everything of the run has its name."
  }
  assert {
    condition     = length(data.aws_subnet.this) == 0
    error_message = "Without a subnet EC2 chooses one of the default VPC's."
  }
}

run "shut" {
  command = plan

  assert {
    condition     = length(aws_security_group.this.ingress) == 0
    error_message = "Nothing comes in."
  }
  assert {
    condition = (
      aws_vpc_security_group_egress_rule.https.security_group_id == "sg-run"
      && aws_vpc_security_group_egress_rule.https.ip_protocol == "tcp"
      && aws_vpc_security_group_egress_rule.https.from_port == 443
      && aws_vpc_security_group_egress_rule.https.to_port == 443
    )
    error_message = "Only HTTPS goes out."
  }
  assert {
    condition     = aws_launch_template.this.vpc_security_group_ids == toset(["sg-run"])
    error_message = "The instance has this group and no other."
  }
  assert {
    condition     = aws_launch_template.this.key_name == null
    error_message = "There is no SSH key."
  }
  assert {
    condition = (
      aws_launch_template.this.metadata_options[0].http_tokens == "required"
      && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    )
    error_message = "The role's credentials are given for a token only, and do not travel."
  }
  assert {
    condition = (
      aws_launch_template.this.block_device_mappings[0].device_name == "/dev/xvda"
      && tobool(aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted)
      && aws_launch_template.this.block_device_mappings[0].ebs[0].kms_key_id == "arn:aws:kms:us-east-1:123456789012:key/k"
      && aws_launch_template.this.block_device_mappings[0].ebs[0].volume_type == "gp3"
      && tobool(aws_launch_template.this.block_device_mappings[0].ebs[0].delete_on_termination)
    )
    error_message = "The root volume is encrypted with the project's key, and goes with the instance."
  }
}

run "training_and_subnet" {
  command = plan
  variables {
    training = {
      dataset       = "dogs"
      source_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
      arguments     = ["--epochs", "3; poweroff"]
      max_seconds   = 60
    }
    subnet_id                = "subnet-0123456789abcdef0"
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/dogbreed-boundary"
  }

  override_data {
    target = data.aws_subnet.this
    values = { vpc_id = "vpc-1" }
  }

  assert {
    condition = (
      strcontains(base64decode(aws_launch_template.this.user_data), "run_id=run-a\nmax_seconds=60\n")
      && strcontains(base64decode(aws_launch_template.this.user_data), "'${base64encode("3; poweroff")}'")
      && !strcontains(base64decode(aws_launch_template.this.user_data), "3; poweroff")
      && length(aws_launch_template.this.user_data) / 4 * 3 < 7168
    )
    error_message = "The instance runs the script with what was given, arguments as data, far below EC2's 16 KiB."
  }
  assert {
    condition     = aws_instance.this.subnet_id == "subnet-0123456789abcdef0" && one(data.aws_subnet.this[*].vpc_id) == "vpc-1"
    error_message = "Instance and security group are in the same network."
  }
  assert {
    condition     = aws_iam_role.this.permissions_boundary == "arn:aws:iam::123456789012:policy/dogbreed-boundary"
    error_message = "The role has the boundary."
  }
}

run "role" {
  command = plan
  variables {
    training = {
      dataset       = "dogs"
      source_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement :
      statement.Sid => jsonencode([sort(flatten([statement.Action])), sort(flatten([statement.Resource])), lookup(statement, "Condition", null)])
      } == { for sid, allowed in {
        ListDataset = [["s3:ListBucket"], ["arn:aws:s3:::data"], { StringLike = { "s3:prefix" = "datasets/dogs/*" } }]
        ReadInputs = [
          ["s3:GetObject"],
          ["arn:aws:s3:::artifacts/source/0000000000000000000000000000000000000000000000000000000000000000.tar.gz", "arn:aws:s3:::data/datasets/dogs/*"],
          null,
        ]
        WriteOwnRun         = [["s3:PutObject"], ["arn:aws:s3:::artifacts/runs/run-a/*"], null]
        ListOwnCheckpoints  = [["s3:ListBucket"], ["arn:aws:s3:::artifacts"], { StringLike = { "s3:prefix" = "checkpoints/run-a/*" } }]
        SyncOwnCheckpoints  = [["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::artifacts/checkpoints/run-a/*"], null]
        UseBucketKey        = [["kms:Decrypt", "kms:GenerateDataKey"], ["arn:aws:kms:us-east-1:123456789012:key/k"], { StringEquals = { "kms:ViaService" = "s3.us-east-1.amazonaws.com" } }]
        RegisterForSessions = [["ssm:UpdateInstanceInformation"], ["arn:aws:ec2:us-east-1:123456789012:instance/*"], null]
        OpenSessions = [
          ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"],
          ["*"],
          null,
        ]
      } : sid => jsonencode(allowed)
    }
    error_message = "The run's role may do more, or less, than it is meant to."
  }
}

run "longest_names" {
  command = plan
  variables {
    project     = "a-product-of-20-char"
    environment = "production"
    run_id      = "a23456789-b23456789-c23456789-d234567891"
  }

  assert {
    condition     = length(aws_iam_role.this.name) == 64 && startswith(aws_iam_role.this.name, "a-product-of-20-char-production-ec2-a23456789")
    error_message = "IAM takes 64 characters."
  }
}

run "longest_names_stay_apart" {
  command = plan
  variables {
    project     = "a-product-of-20-char"
    environment = "production"
    run_id      = "a23456789-b23456789-c23456789-d234567892"
  }

  assert {
    condition     = aws_iam_role.this.name != run.longest_names.name
    error_message = "Two runs never share a role."
  }
}

run "refuses_names_and_shapes" {
  command = plan
  variables {
    project                  = "DogBreed"
    environment              = "pre-prod"
    region                   = "us_east_1"
    allowed_account_ids      = []
    commit                   = "HEAD^"
    permissions_boundary_arn = "dogbreed-boundary"
    run_id                   = "../run-b"
    data_bucket              = "s3://data"
    artifacts_bucket         = "arn:aws:s3:::artifacts"
    key_arn                  = "alias/dogbreed-test"
    instance_type            = "ml.m5.xlarge"
    ami_ssm_parameter        = "ami-0123456789abcdef0"
    volume_gb                = 30
    subnet_id                = "vpc-0123456789abcdef0"
  }
  expect_failures = [
    var.project,
    var.environment,
    var.region,
    var.allowed_account_ids,
    var.commit,
    var.permissions_boundary_arn,
    var.run_id,
    var.data_bucket,
    var.artifacts_bucket,
    var.key_arn,
    var.instance_type,
    var.ami_ssm_parameter,
    var.volume_gb,
    var.subnet_id,
  ]
}

run "refuses_graviton_and_another_system" {
  command = plan
  variables {
    instance_type     = "c7g.xlarge"
    ami_ssm_parameter = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-ubuntu-24.04/latest/ami-id"
  }
  expect_failures = [var.instance_type, var.ami_ssm_parameter]
}

run "refuses_user_data_beyond_the_limit" {
  command = plan
  variables {
    training = {
      dataset       = "dogs"
      source_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
      arguments     = [format("%16384s", "#")]
    }
  }
  expect_failures = [aws_launch_template.this]
}

run "refuses_what_would_not_be_data_in_a_script" {
  command = plan
  variables {
    training = { dataset = "dogs; poweroff", source_sha256 = "$(poweroff)", max_seconds = 0 }
  }
  expect_failures = [var.training]
}
