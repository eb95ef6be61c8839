terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  # Each environment keeps a state of its own: `terraform init -backend-config=path=<file>`.
  backend "local" {}
}
