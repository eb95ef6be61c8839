# What this account is to know of GitHub; docs/first-aws-run.md says where the values come from. Without a repository no
# role trusts anybody outside the account.
#
# github_repository     = "owner/name"
# github_repository_ids = { owner_id = 123456, repository_id = 456789 }
#
# Where the account has GitHub's provider already:
# github_oidc_provider_arn = "arn:aws:iam::<account>:oidc-provider/token.actions.githubusercontent.com"
