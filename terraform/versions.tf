terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  # Each environment keeps a state of its own: `terraform init -backend-config=environments/<environment>.s3.tfbackend`
  # says where, and `-backend-config=bucket=terraform-state-<account>` in which account's bucket.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
