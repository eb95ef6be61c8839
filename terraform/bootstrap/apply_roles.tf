# The two things by which an apply role could make itself more than it is: the state, and IAM. Of states it writes its
# own environment's. Of IAM it has the roles of its own environment, and each of them only below the boundary; it has
# no word on any policy, on its own role or on who may take it.

data "aws_iam_policy_document" "apply_roles" {
  for_each = local.environments

  statement {
    sid       = "WriteState"
    actions   = ["s3:PutObject"]
    resources = [local.state_arns[each.key]]
  }

  statement {
    sid       = "LockState"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${local.state_arns[each.key]}.tflock"]
  }

  # All that changes what a role may do. The boundary is compared as the role has it, or is to have it from the start;
  # no action here takes it off again or puts on another (IAM User Guide, "Permissions boundaries for IAM entities",
  # delegating responsibility to others).
  statement {
    sid       = "GrantWithinBoundary"
    actions   = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
    resources = [local.role_arns[each.key]]

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [local.boundary_arn]
    }
  }

  statement {
    sid = "KeepRoles"
    actions = [
      "iam:DeleteRole",
      "iam:ListInstanceProfilesForRole", # the provider looks there before it deletes a role
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
      "iam:UpdateRoleDescription",
    ]
    resources = [local.role_arns[each.key]]
  }

  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = [local.role_arns[each.key]]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]
    }
  }

  # CodeBuild runs what it is told to: no role but that of the builds may come there.
  statement {
    sid       = "PassRoleOfImageBuilds"
    actions   = ["iam:PassRole"]
    resources = [local.image_role_arns[each.key]]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["codebuild.amazonaws.com"]
    }
  }

  # AWS's own roles, whose rights nobody chooses. The services make them in the caller's name, once per account.
  dynamic "statement" {
    for_each = {
      Autoscaling    = "sagemaker.application-autoscaling.amazonaws.com"
      AccessAnalyzer = "access-analyzer.amazonaws.com"
    }
    content {
      sid       = "MakeServiceLinkedRoleOf${statement.key}"
      actions   = ["iam:CreateServiceLinkedRole"]
      resources = ["${local.iam_arn}:role/aws-service-role/${statement.value}/*"]

      condition {
        test     = "StringEquals"
        variable = "iam:AWSServiceName"
        values   = [statement.value]
      }
    }
  }
}
