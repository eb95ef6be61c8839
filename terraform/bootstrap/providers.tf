provider "aws" {
  region              = var.region
  allowed_account_ids = var.allowed_account_ids

  # The stand-in cloud; see the main root.
  s3_use_path_style           = var.emulated
  skip_credentials_validation = var.emulated
  skip_metadata_api_check     = var.emulated
  max_retries                 = var.emulated ? 3 : null

  default_tags {
    tags = {
      Project     = var.project
      Environment = "bootstrap" # what every environment stands on; no apply role may touch what bears this tag
      ManagedBy   = "terraform"
    }
  }
}
