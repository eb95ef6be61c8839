# What an account needs to know before the first environment. Everything else is decided here.

variable "project" {
  description = "Name of the product; the first part of every name, as in the main root."
  type        = string
  default     = "dogbreed"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.project))
    error_message = "project: 3 to 20 lower-case letters, digits or hyphens, a letter first (it becomes part of bucket names)."
  }
}

variable "region" {
  description = "AWS region that holds the state and every environment that is applied from GitHub."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[1-9]$", var.region))
    error_message = "region: an AWS region such as us-east-1."
  }
}

variable "emulated" {
  description = "Whether AWS_ENDPOINT_URL is the stand-in cloud; changes the provider's plumbing and nothing else."
  type        = bool
  default     = false
  nullable    = false
}

variable "allowed_account_ids" {
  description = "AWS accounts that may be bootstrapped; anything else is refused. Null: any."
  type        = list(string)
  default     = null

  validation {
    condition     = var.allowed_account_ids == null ? true : length(var.allowed_account_ids) > 0 && alltrue([for id in var.allowed_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids: AWS accounts, twelve digits each, or null."
  }
}

variable "state_bucket_name" {
  description = "Bucket of Terraform's state, where another name is wanted. Null: terraform-state-<account id>."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket_name))
    error_message = "state_bucket_name: 3 to 63 lower-case letters, digits or hyphens, or null."
  }
}

variable "github_repository" {
  description = "Repository whose workflows plan and apply, as owner/name in GitHub's own spelling. Null: no role for GitHub."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9](-?[A-Za-z0-9]){0,38}/[A-Za-z0-9._-]{1,100}$", var.github_repository))
    error_message = "github_repository: owner/name, one repository and no wildcard, or null."
  }
}

variable "github_repository_ids" {
  description = "The numbers of the repository and of its owner, which newer repositories put into their tokens: `gh api repos/<owner>/<name> --jq '.owner.id, .id'`. Null: only tokens of the older form are trusted."
  type        = object({ owner_id = number, repository_id = number })
  default     = null

  validation {
    condition     = var.github_repository_ids == null ? true : alltrue([for id in values(var.github_repository_ids) : id >= 1 && floor(id) == id])
    error_message = "github_repository_ids: owner_id and repository_id are whole numbers above 0."
  }
  validation {
    condition     = var.github_repository_ids == null || var.github_repository != null
    error_message = "github_repository_ids: means nothing without github_repository."
  }
}

variable "github_oidc_provider_arn" {
  description = "GitHub's OIDC provider, where the account has it (it can have only one). Null: made here."
  type        = string
  default     = null

  validation {
    condition     = var.github_oidc_provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.github_oidc_provider_arn))
    error_message = "github_oidc_provider_arn: the ARN of the provider token.actions.githubusercontent.com, or null."
  }
}

variable "apply_environments" {
  description = "Environments that workflows may apply: the name of each in GitHub, and its name in terraform/environments/."
  type        = map(string)
  default     = { production = "prod" }
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.apply_environments) : can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", name))])
    error_message = "apply_environments: GitHub's names have letters, digits, hyphens and underscores (a colon or a wildcard would change whom a role trusts)."
  }
  validation {
    condition     = alltrue([for name in values(var.apply_environments) : can(regex("^[a-z][a-z0-9]{1,9}$", name))])
    error_message = "apply_environments: Terraform's names have 2 to 10 lower-case letters or digits, a letter first."
  }
  validation {
    # <project>-apply-* would be the names of that environment's own roles, and of the roles that apply.
    condition     = length(setintersection(values(var.apply_environments), ["apply", "boundary", "plan"])) == 0
    error_message = "apply_environments: no environment is called apply, boundary or plan, which are names of this root."
  }
  validation {
    condition     = length(distinct(values(var.apply_environments))) == length(var.apply_environments)
    error_message = "apply_environments: each of Terraform's environments belongs to one of GitHub's."
  }
}
