provider "aws" {
  region = var.region

  # The one place that knows of the stand-in cloud. It has no virtual-host bucket names, no STS worth asking and no
  # instance metadata. An error of its own is a bug to show soon (the provider's 25 attempts take ten minutes), a
  # connection lost on a busy machine is not (one attempt would be too few).
  s3_use_path_style           = var.emulated
  skip_credentials_validation = var.emulated
  skip_metadata_api_check     = var.emulated
  max_retries                 = var.emulated ? 3 : null

  allowed_account_ids = var.allowed_account_ids

  default_tags {
    tags = {
      Project     = var.project
      Environment = var.environment
      Commit      = var.commit
      ManagedBy   = "terraform"
    }
  }
}
