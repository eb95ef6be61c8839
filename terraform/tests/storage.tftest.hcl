# The storage module by itself.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_resource {
  target          = aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:us-east-1:123456789012:key/k", key_id = "k" }
}

variables {
  prefix           = "dogbreed-test"
  account          = { id = "123456789012", partition = "aws", region = "us-east-1" }
  log_group_names  = ["/aws/lambda/dogbreed-test-predict"]
  empty_on_destroy = false
}

run "each_bucket" {
  command = plan
  module { source = "./modules/storage" }

  assert {
    condition     = [for bucket in aws_s3_bucket.this : bucket.bucket] == ["dogbreed-test-artifacts-123456789012", "dogbreed-test-data-123456789012", "dogbreed-test-logs-123456789012"]
    error_message = "Buckets are <project>-<environment>-<purpose>-<account>."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : !bucket.force_destroy])
    error_message = "Nothing that holds data goes by accident."
  }
  assert {
    condition = alltrue([for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && length(aws_s3_bucket_public_access_block.this) == 3
    error_message = "No bucket is ever public."
  }
  assert {
    condition = (
      alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
      && alltrue([for controls in aws_s3_bucket_ownership_controls.this : controls.rule[0].object_ownership == "BucketOwnerEnforced"])
      && length(aws_s3_bucket_versioning.this) == 3 && length(aws_s3_bucket_ownership_controls.this) == 3
    )
    error_message = "Each bucket keeps versions and has one owner."
  }
  assert {
    condition = { for purpose, policy in data.aws_iam_policy_document.bucket : purpose => jsondecode(policy.json).Statement[0] } == { for purpose in ["data", "artifacts", "logs"] : purpose => {
      Sid       = "DenyWithoutTls"
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::dogbreed-test-${purpose}-123456789012/*", "arn:aws:s3:::dogbreed-test-${purpose}-123456789012"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    } }
    error_message = "Each bucket refuses whoever comes without TLS."
  }

  # Encryption
  assert {
    condition = { for purpose, encryption in aws_s3_bucket_server_side_encryption_configuration.this : purpose => [
      one(encryption.rule).apply_server_side_encryption_by_default[0].sse_algorithm, one(encryption.rule).bucket_key_enabled,
      ] } == {
      artifacts = ["aws:kms", true]
      data      = ["aws:kms", true]
      logs      = ["AES256", false] # all that S3 delivers access logs to
    }
    error_message = "What is kept is encrypted with our key."
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "The key rotates, and whoever deletes it has a month to think again."
  }
  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.key.json).Statement : [statement.Sid, try(statement.Condition, null)]] == [
      ["LetIamDecide", null],
      ["EncryptLogGroups", { ArnEquals = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/dogbreed-test-predict" } }],
      ["PublishToEncryptedTopic", { StringEquals = { "aws:SourceAccount" = "123456789012" } }],
    ]
    error_message = "Services use the key for our own log groups and alerts, and for nothing else."
  }

  # Access logs, and what expires
  assert {
    condition     = { for purpose, logging in aws_s3_bucket_logging.this : purpose => logging.target_prefix } == { artifacts = "s3/artifacts/", data = "s3/data/" }
    error_message = "Who read or wrote what is kept is written down."
  }
  assert {
    condition = { for statement in slice(jsondecode(data.aws_iam_policy_document.bucket["logs"].json).Statement, 1, 3) : statement.Resource => statement.Condition } == {
      for purpose in ["artifacts", "data"] : "arn:aws:s3:::dogbreed-test-logs-123456789012/s3/${purpose}/*" => {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::dogbreed-test-${purpose}-123456789012" }
      }
    }
    error_message = "S3 delivers the logs of a bucket of ours, each below its own prefix."
  }
  assert {
    condition = { for purpose, lifecycle in aws_s3_bucket_lifecycle_configuration.this : purpose => { for rule in lifecycle.rule : rule.id => try(one(rule.expiration).days, null) } } == {
      artifacts = { housekeeping = null, expire-capture = 30, expire-checkpoints = 30 }
      data      = { housekeeping = null }
      logs      = { housekeeping = null, expire-s3 = 90 }
    }
    error_message = "Photographs and models stay; what is written by the way expires."
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
