# What is served is data, not configuration: `make deploy`, `make stop` and `make start` write these parameters and
# apply. Terraform makes them, reads them and never writes them again.

resource "aws_ssm_parameter" "releases" {
  #checkov:skip=CKV2_AWS_34:Nothing secret; Terraform must read it as insecure_value, which a SecureString does not have.

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
  #checkov:skip=CKV2_AWS_34:Nothing secret; Terraform must read it as insecure_value, which a SecureString does not have.

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

resource "aws_ssm_parameter" "instance_counts" {
  #checkov:skip=CKV2_AWS_34:Nothing secret; Terraform must read it as insecure_value, which a SecureString does not have.

  name           = "/${var.project}/${var.environment}/instance_counts"
  description    = "Instances with which a release goes into service: <run_id>=<count>, those that autoscaling had before it; none when empty."
  type           = "StringList"
  insecure_value = "none"

  lifecycle {
    ignore_changes = [insecure_value]

    postcondition {
      condition     = self.insecure_value == "none" || alltrue([for entry in split(",", self.insecure_value) : can(regex(local.count_pattern, entry))])
      error_message = "The parameter ${self.name} must be none, or entries <run_id>=<instances> with commas between."
    }
  }
}

locals {
  release_pattern = "^(?P<run_id>[a-z0-9][a-z0-9-]{0,39})@(?P<manifest_sha256>[0-9a-f]{64})$"

  count_pattern = "^(?P<run_id>[a-z0-9][a-z0-9-]{0,39})=(?P<instances>[1-9][0-9]{0,2})$"

  instance_counts = { for match in [for entry in split(",", aws_ssm_parameter.instance_counts.insecure_value) :
    regex(local.count_pattern, entry) if can(regex(local.count_pattern, entry))
  ] : match.run_id => tonumber(match.instances) }

  # An entry that does not match is refused above, except on destroy, which must not stop at it.
  releases = [for match in [for entry in split(",", aws_ssm_parameter.releases.insecure_value) :
    regex(local.release_pattern, entry) if can(regex(local.release_pattern, entry))
  ] : merge(match, { instance_count = lookup(local.instance_counts, match.run_id, null) })]

  serving = aws_ssm_parameter.serving.insecure_value == "on"
}
