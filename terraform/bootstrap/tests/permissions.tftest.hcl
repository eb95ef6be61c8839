# What the roles may do, from the policies as they render: who could make itself more than it is, and with what.

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

variables {
  github_repository  = "acme/dogs"
  apply_environments = { production = "prod", development = "dev" }
}

run "roles" {
  command = plan

  assert {
    condition = jsonencode([for statement in jsondecode(data.aws_iam_policy_document.apply_roles["prod"].json).Statement : {
      sid       = statement.Sid
      actions   = sort(flatten([statement.Action]))
      resources = flatten([statement.Resource])
      condition = try(statement.Condition, null)
      } if length([for action in flatten([statement.Action]) : action if startswith(action, "iam:")]) > 0]) == jsonencode([
      {
        sid       = "GrantWithinBoundary"
        actions   = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
        resources = ["arn:aws:iam::123456789012:role/dogbreed-prod-*"]
        condition = { StringEquals = { "iam:PermissionsBoundary" = "arn:aws:iam::123456789012:policy/dogbreed-boundary" } }
      },
      {
        sid       = "KeepRoles"
        actions   = ["iam:DeleteRole", "iam:ListInstanceProfilesForRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription"]
        resources = ["arn:aws:iam::123456789012:role/dogbreed-prod-*"]
        condition = null
      },
      {
        sid       = "PassRoles"
        actions   = ["iam:PassRole"]
        resources = ["arn:aws:iam::123456789012:role/dogbreed-prod-*"]
        condition = { StringEquals = { "iam:PassedToService" = ["lambda.amazonaws.com", "sagemaker.amazonaws.com"] } }
      },
      {
        sid       = "PassRoleOfImageBuilds"
        actions   = ["iam:PassRole"]
        resources = ["arn:aws:iam::123456789012:role/dogbreed-prod-serving-image"]
        condition = { StringEquals = { "iam:PassedToService" = "codebuild.amazonaws.com" } }
      },
      {
        sid       = "MakeServiceLinkedRoleOfAccessAnalyzer"
        actions   = ["iam:CreateServiceLinkedRole"]
        resources = ["arn:aws:iam::123456789012:role/aws-service-role/access-analyzer.amazonaws.com/*"]
        condition = { StringEquals = { "iam:AWSServiceName" = "access-analyzer.amazonaws.com" } }
      },
      {
        sid       = "MakeServiceLinkedRoleOfAutoscaling"
        actions   = ["iam:CreateServiceLinkedRole"]
        resources = ["arn:aws:iam::123456789012:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*"]
        condition = { StringEquals = { "iam:AWSServiceName" = "sagemaker.application-autoscaling.amazonaws.com" } }
      },
    ])
    error_message = "An apply role has a word on the environment's own roles, below the boundary, and on nothing else of IAM."
  }
  assert {
    condition = length(flatten([for document in [
      data.aws_iam_policy_document.apply_storage["prod"], data.aws_iam_policy_document.apply_serving["prod"],
      data.aws_iam_policy_document.apply_operations["prod"], data.aws_iam_policy_document.apply_network["prod"],
      ] : [for statement in jsondecode(document.json).Statement : [for action in flatten([statement.Action]) : action if startswith(action, "iam:") || startswith(action, "sts:")]]
    ])) == 0
    error_message = "No other policy of an apply role speaks of IAM."
  }

  assert {
    condition = jsonencode({ for statement in jsondecode(data.aws_iam_policy_document.apply_roles["prod"].json).Statement :
      statement.Sid => [sort(flatten([statement.Action])), statement.Resource] if endswith(statement.Sid, "State")
      }) == jsonencode({
      WriteState = [["s3:PutObject"], "arn:aws:s3:::terraform-state-123456789012/dogbreed/prod.tfstate"]
      LockState  = [["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], "arn:aws:s3:::terraform-state-123456789012/dogbreed/prod.tfstate.tflock"]
    })
    error_message = "An apply role writes its own environment's state and lock."
  }
  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.read["prod"].json).Statement : [statement.Action, statement.Resource] if statement.Sid == "ReadState"] == [
      ["s3:GetObject", "arn:aws:s3:::terraform-state-123456789012/dogbreed/prod.tfstate"],
    ]
    error_message = "Of all objects, a plan reads the state alone."
  }

  assert {
    condition = alltrue(flatten([for statement in jsondecode(data.aws_iam_policy_document.read["prod"].json).Statement : [
      for action in flatten([statement.Action]) : can(regex("^[a-z0-9-]+:(BatchGet|Describe|Get|List|View)[A-Za-z]+$", action))
    ]]))
    error_message = "The plan role changes nothing."
  }
  assert {
    condition = length(setintersection(toset(flatten([for statement in jsondecode(data.aws_iam_policy_document.read["prod"].json).Statement : statement.Action if statement.Sid != "ReadState"])), [
      "kms:Decrypt", "lambda:InvokeFunction", "logs:FilterLogEvents", "logs:GetLogEvents", "s3:GetObject", "s3:GetObjectVersion", "secretsmanager:GetSecretValue", "sts:AssumeRole",
    ])) == 0
    error_message = "The plan role reads no data."
  }
  assert {
    condition     = keys(aws_iam_role_policy_attachment.plan) == ["dev", "prod"]
    error_message = "One role plans every environment."
  }

  # A resource is one environment's by its name or its state's, or it is bounded by tags, or it is on this list.
  assert {
    condition = sort(distinct(flatten([for policy, json in merge(local.apply_policies, { "prod-read" = data.aws_iam_policy_document.read["prod"].json }) : [
      for statement in jsondecode(json).Statement : statement.Sid
      if length([for resource in flatten([statement.Resource]) : resource if !can(regex("dogbreed[-/]prod", resource))]) > 0
      && !can(statement.Condition.StringEquals["aws:ResourceTag/Environment"]) && !can(statement.Condition.StringEquals["aws:RequestTag/Environment"])
      ] if startswith(policy, "prod")]))) == tolist([
      "KeepAutoscaling",                       # targets are named by number; sagemaker's only
      "ListStates",                            # names of states
      "ListWhatKnowsNoResource",               # names and settings, read
      "LookAtGateways",                        # read
      "MakeInterfaceOfNotebook",               # by SageMaker only
      "MakeRules",                             # with a group, which is bounded
      "MakeServiceLinkedRoleOfAccessAnalyzer", # AWS's own
      "MakeServiceLinkedRoleOfAutoscaling",    # AWS's own
      "MarkWhatIsMade",                        # while it is made, which is bounded
      "NameInterfaceEndpoints",                # AWS's zones
      "ReadTagsOfScalableTargets",             # read
      "TagScalableTargets",                    # tags
      "Unsubscribe",                           # knows no resource
    ])
    error_message = "A statement reaches beyond its environment."
  }
  assert {
    condition = length([for json in values(local.apply_policies) : json if length([for statement in jsondecode(json).Statement : statement
      if length([for action in flatten([statement.Action]) : action if strcontains(action, "*")]) > 0
    ]) > 0]) == 0
    error_message = "No action stands for others."
  }

  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.boundary.json).Statement : [statement.Action, statement.Resource, statement.Condition]
      if length([for action in flatten([statement.Action]) : action if startswith(action, "iam:") || startswith(action, "sts:")]) > 0] == [
      ["iam:PassRole", "arn:aws:iam::123456789012:role/dogbreed-*-training", { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } }],
    ]
    error_message = "Of IAM, a workload may at most hand a training role to SageMaker."
  }
  assert {
    condition = sort([for statement in jsondecode(data.aws_iam_policy_document.boundary.json).Statement : statement.Sid if statement.Resource == "*"]) == tolist([
      "Metrics", "WhatKnowsNoResource",
    ])
    error_message = "Only what knows no resource is bounded by none."
  }
}

# AWS counts characters without white space: 6,144 in a policy.
run "policies_fit" {
  command = plan
  variables {
    project               = "a-name-of-20-charact"
    github_repository_ids = { owner_id = 1234567890, repository_id = 1234567890 }
    apply_environments    = { production = "production" }
    region                = "ap-southeast-3"
  }

  assert {
    condition = alltrue([for json in concat(values(local.apply_policies), [data.aws_iam_policy_document.boundary.json, data.aws_iam_policy_document.read["production"].json]) :
      length(replace(json, "/\\s/", "")) <= 6144
    ])
    error_message = "A policy is longer than AWS takes, with the longest names."
  }
}
