# The private network, where an environment has one. Nothing in it has a name that AWS would check: what is made must
# bear the environment's tags, and only what bears them may be changed.

data "aws_iam_policy_document" "apply_network" {
  for_each = local.environments

  statement {
    sid     = "MakeWithTags"
    actions = ["ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateVpc", "ec2:CreateVpcEndpoint"]
    resources = [for type in ["route-table", "security-group", "subnet", "vpc", "vpc-endpoint"] :
      "${local.arn.ec2}:${type}/*"
    ]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  # The same actions once more, for what they build on, and everything that changes or ends what is there.
  statement {
    sid = "KeepOwn"
    actions = [
      "ec2:AssociateRouteTable",
      "ec2:AuthorizeSecurityGroupEgress",
      "ec2:AuthorizeSecurityGroupIngress",
      "ec2:CreateRouteTable",
      "ec2:CreateSecurityGroup",
      "ec2:CreateSubnet",
      "ec2:CreateTags",
      "ec2:CreateVpcEndpoint",
      "ec2:DeleteRoute", # one that was made by hand, which a plan shows
      "ec2:DeleteRouteTable",
      "ec2:DeleteSecurityGroup",
      "ec2:DeleteSubnet",
      "ec2:DeleteTags",
      "ec2:DeleteVpc",
      "ec2:DeleteVpcEndpoints",
      "ec2:DisassociateRouteTable",
      "ec2:ModifySecurityGroupRules",
      "ec2:ModifySubnetAttribute",
      "ec2:ModifyVpcAttribute",
      "ec2:ModifyVpcEndpoint",
      "ec2:RevokeSecurityGroupEgress",
      "ec2:RevokeSecurityGroupIngress",
    ]
    resources = [for type in ["route-table", "security-group", "security-group-rule", "subnet", "vpc", "vpc-endpoint"] :
      "${local.arn.ec2}:${type}/*"
    ]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  statement {
    sid     = "MarkWhatIsMade"
    actions = ["ec2:CreateTags"]
    resources = [for type in ["route-table", "security-group", "security-group-rule", "subnet", "vpc", "vpc-endpoint"] :
      "${local.arn.ec2}:${type}/*"
    ]

    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values = [
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSubnet",
        "CreateVpc",
        "CreateVpcEndpoint",
      ]
    }
  }

  # A rule is a part of its group, whose tags decide above.
  statement {
    sid       = "MakeRules"
    actions   = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"]
    resources = ["${local.arn.ec2}:security-group-rule/*"]
  }

  # Also the VPC's own default group, which comes without tags and is emptied. So a group of the account without the tag
  # Project could be claimed: keep other products' groups tagged, or in another account.
  statement {
    sid       = "MarkRulesAndDefaultGroup"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.arn.ec2}:security-group/*", "${local.arn.ec2}:security-group-rule/*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }

    condition {
      test     = "Null"
      variable = "aws:ResourceTag/Project"
      values   = ["true"]
    }
  }

  # A notebook in the network: SageMaker makes its interface in the caller's name (SageMaker Developer Guide, "Amazon
  # SageMaker API permissions": CreateNotebookInstance). In the environment's own subnets and groups only.
  statement {
    sid       = "LetNotebookIntoSubnets"
    actions   = ["ec2:CreateNetworkInterface"]
    resources = ["${local.arn.ec2}:security-group/*", "${local.arn.ec2}:subnet/*"]

    dynamic "condition" {
      for_each = local.tags[each.key]
      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  statement {
    sid       = "MakeInterfaceOfNotebook"
    actions   = ["ec2:AttachNetworkInterface", "ec2:CreateNetworkInterface", "ec2:ModifyNetworkInterfaceAttribute"]
    resources = ["${local.arn.ec2}:instance/*", "${local.arn.ec2}:network-interface/*"]

    # Never by the role itself: it could put any interface of the account into one of its groups.
    condition {
      test     = "Bool"
      variable = "aws:ViaAWSService"
      values   = ["true"]
    }
  }

  # For the private names of interface endpoints, whose zones are AWS's (AWS, "Service Authorization Reference", what
  # ec2:CreateVpcEndpoint depends on).
  statement {
    sid       = "NameInterfaceEndpoints"
    actions   = ["route53:AssociateVPCWithHostedZone"]
    resources = ["arn:${local.partition}:route53:::hostedzone/*"]
  }

  # Knows no resource; SageMaker looks whether a notebook's subnet has a way out.
  statement {
    sid       = "LookAtGateways"
    actions   = ["ec2:DescribeInternetGateways"]
    resources = ["*"]
  }
}
