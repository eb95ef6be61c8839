# Finds roles, access keys and permissions that nobody has used for so long, in the whole account: one environment's
# analyzer serves all. `aws accessanalyzer list-findings-v2` lists what it found. Billed for each role and user a month.
resource "aws_accessanalyzer_analyzer" "unused_access" {
  count = var.unused_access_days == null ? 0 : 1

  analyzer_name = "${var.prefix}-unused-access"
  type          = "ACCOUNT_UNUSED_ACCESS"

  configuration {
    unused_access {
      unused_access_age = var.unused_access_days
    }
  }
}
