provider "aws" {
  region = var.region

  # As in the main root: the plumbing that the stand-in cloud needs, and nothing else.
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
      Run         = var.run_id
    }
  }
}
