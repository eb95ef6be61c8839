# What is served is data, not configuration: `make deploy` and `make rollback` write these two parameters and apply.
# Terraform makes them, reads them and never writes them again.

resource "aws_ssm_parameter" "releases" {
  name           = "/${var.project}/${var.environment}/releases"
  description    = "What can be served: <run_id>@<manifest sha256>, at most 10, the one in service first; none when empty."
  type           = "StringList"
  insecure_value = "none" # `value` would be sensitive, and nothing sensitive may decide for_each

  lifecycle {
    ignore_changes = [insecure_value]

    postcondition {
      condition = self.insecure_value == "none" || (
        length(split(",", self.insecure_value)) <= 10 &&
        alltrue([for entry in split(",", self.insecure_value) : can(regex(local.release_pattern, entry))])
      )
      error_message = "The parameter ${self.name} must be none, or 1 to 10 entries <run_id>@<manifest sha256> with commas between."
    }
  }
}

resource "aws_ssm_parameter" "serving" {
  name           = "/${var.project}/${var.environment}/serving"
  description    = "on or off: whether the endpoint exists. Off keeps every release."
  type           = "String"
  insecure_value = "on"

  lifecycle {
    ignore_changes = [insecure_value]

    postcondition {
      condition     = contains(["on", "off"], self.insecure_value)
      error_message = "The parameter ${self.name} must be on or off."
    }
  }
}

locals {
  release_pattern = "^(?P<run_id>[a-z0-9][a-z0-9-]{0,39})@(?P<manifest_sha256>[0-9a-f]{64})$"

  # An entry that does not match is refused above, except on destroy, which must not stop at it.
  releases = [for entry in split(",", aws_ssm_parameter.releases.insecure_value) :
    regex(local.release_pattern, entry) if can(regex(local.release_pattern, entry))
  ]

  serving = aws_ssm_parameter.serving.insecure_value == "on"
}
