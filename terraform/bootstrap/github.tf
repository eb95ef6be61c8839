# Who may take which role. A workflow brings a token signed by GitHub; its subject says which repository, and for what.

locals {
  github_host = "token.actions.githubusercontent.com"
  # Terraform's name of each environment → GitHub's.
  environments = var.github_repository == null ? {} : { for github, environment in var.apply_environments : environment => github }

  # Both forms of the subject. Since 2026-07-15 new, renamed and transferred repositories send owner and name with
  # their numbers, so that who takes over a free name does not take over the trust; all others send names alone
  # (GitHub, "OpenID Connect reference", immutable subject claims).
  repositories = var.github_repository == null ? [] : concat(
    ["repo:${var.github_repository}"],
    var.github_repository_ids == null ? [] : [format("repo:%s@%d/%s@%d",
      split("/", var.github_repository)[0], var.github_repository_ids.owner_id,
      split("/", var.github_repository)[1], var.github_repository_ids.repository_id,
    )],
  )

  # Pull requests from forks get no token at all, so no stranger comes this far.
  plan_subjects  = [for pair in setproduct(local.repositories, ["pull_request", "ref:refs/heads/main"]) : join(":", pair)]
  apply_subjects = { for environment, github in local.environments : environment => [for repository in local.repositories : "${repository}:environment:${github}"] }

  oidc_provider_arn = coalesce(var.github_oidc_provider_arn, "arn:${local.partition}:iam::${local.account_id}:oidc-provider/${local.github_host}")
}

# AWS checks GitHub's certificate against its own list of authorities: no thumbprint to keep up to date.
resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository != null && var.github_oidc_provider_arn == null ? 1 : 0

  url            = "https://${local.github_host}"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "plan_trust" {
  #checkov:skip=CKV_AWS_358:checkov cannot see the subjects behind the locals; tests/bootstrap.tftest.hcl holds them, each exact.
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.github_host}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.github_host}:sub"
      values   = local.plan_subjects
    }
  }
}

# Who may push to the repository may run any workflow with this role: it reads, and no object of any bucket but states.
resource "aws_iam_role" "plan" {
  count = var.github_repository == null ? 0 : 1

  name               = "${var.project}-plan"
  description        = "GitHub workflows that show what an apply would change."
  assume_role_policy = data.aws_iam_policy_document.plan_trust.json

  depends_on = [aws_iam_openid_connect_provider.github]
}

resource "aws_iam_role_policy_attachment" "plan" {
  for_each = local.environments

  role       = aws_iam_role.plan[0].name
  policy_arn = aws_iam_policy.read[each.key].arn
}

data "aws_iam_policy_document" "apply_trust" {
  #checkov:skip=CKV_AWS_358:checkov cannot see the subjects behind the locals; tests/bootstrap.tftest.hcl holds them, each exact.
  for_each = local.environments

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.github_host}:aud"
      values   = ["sts.amazonaws.com"]
    }

    # Which branches come to the environment, and who must agree, is set in GitHub: docs/first-aws-run.md.
    condition {
      test     = "StringEquals"
      variable = "${local.github_host}:sub"
      values   = local.apply_subjects[each.key]
    }
  }
}

resource "aws_iam_role" "apply" {
  for_each = local.environments

  name                 = "${var.project}-apply-${each.key}"
  description          = "GitHub workflows that apply the environment ${each.key}."
  assume_role_policy   = data.aws_iam_policy_document.apply_trust[each.key].json
  max_session_duration = 7200 # a canary may take an hour, and has to end within the session

  depends_on = [aws_iam_openid_connect_provider.github]
}

locals {
  # What a role may do comes in several policies, because one may have 6,144 characters.
  apply_policies = merge([for environment in keys(local.environments) : {
    "${environment}-roles"      = data.aws_iam_policy_document.apply_roles[environment].json
    "${environment}-storage"    = data.aws_iam_policy_document.apply_storage[environment].json
    "${environment}-serving"    = data.aws_iam_policy_document.apply_serving[environment].json
    "${environment}-operations" = data.aws_iam_policy_document.apply_operations[environment].json
    "${environment}-network"    = data.aws_iam_policy_document.apply_network[environment].json
  }]...)
}

resource "aws_iam_policy" "apply" {
  for_each = local.apply_policies

  name        = "${var.project}-apply-${each.key}"
  description = "What the apply role may change: ${each.key}."
  policy      = each.value
}

resource "aws_iam_role_policy_attachment" "apply" {
  for_each = local.apply_policies

  role       = aws_iam_role.apply[split("-", each.key)[0]].name
  policy_arn = aws_iam_policy.apply[each.key].arn
}

resource "aws_iam_role_policy_attachment" "apply_read" {
  for_each = local.environments

  role       = aws_iam_role.apply[each.key].name
  policy_arn = aws_iam_policy.read[each.key].arn
}
