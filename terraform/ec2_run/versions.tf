# The training instance of one run, in a state of its own, so that no other apply can end a running training. Whoever
# applies it destroys it when the run is over; the instance by then has terminated itself.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }

  # Each run keeps a state of its own: `terraform init` is told the bucket, the region and the key
  # <project>/<environment>/ec2_run/<run_id>.tfstate.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
