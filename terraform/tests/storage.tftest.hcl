# The storage module by itself.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  prefix           = "dogbreed-test"
  account          = { id = "123456789012", partition = "aws" }
  empty_on_destroy = false
}

run "each_bucket" {
  command = plan
  module { source = "./modules/storage" }

  assert {
    condition     = [for bucket in aws_s3_bucket.this : bucket.bucket] == ["dogbreed-test-artifacts-123456789012", "dogbreed-test-data-123456789012"]
    error_message = "Buckets are <project>-<environment>-<purpose>-<account>."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : !bucket.force_destroy])
    error_message = "Nothing that holds data goes by accident."
  }
  assert {
    condition = alltrue([for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && length(aws_s3_bucket_public_access_block.this) == 2
    error_message = "No bucket is ever public."
  }
  assert {
    condition = (
      alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
      && alltrue([for controls in aws_s3_bucket_ownership_controls.this : controls.rule[0].object_ownership == "BucketOwnerEnforced"])
      && length(aws_s3_bucket_versioning.this) == 2 && length(aws_s3_bucket_ownership_controls.this) == 2
    )
    error_message = "Each bucket keeps versions and has one owner."
  }
  assert {
    condition = { for purpose, policy in data.aws_iam_policy_document.tls_only : purpose => jsondecode(policy.json).Statement } == { for purpose in ["data", "artifacts"] : purpose => [{
      Sid       = "DenyWithoutTls"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::dogbreed-test-${purpose}-123456789012/*", "arn:aws:s3:::dogbreed-test-${purpose}-123456789012"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }] }
    error_message = "Each bucket refuses whoever comes without TLS."
  }
}

run "emptied_where_asked" {
  command = plan
  module { source = "./modules/storage" }
  variables { empty_on_destroy = true }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy])
    error_message = "The stand-in's buckets go with what they hold."
  }
}
