terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  # In the very bucket that this root describes. `make bootstrap` makes the bucket, empty, before Terraform needs it, and
  # imports it: so no state ever lies on somebody's disk, and a run that broke off is simply run again.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
