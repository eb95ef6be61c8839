# The training module by itself: what a job may do.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  prefix              = "dogbreed-test"
  account             = { id = "123456789012", partition = "aws", region = "us-east-1" }
  registry_account_id = "763104351884"
  buckets = {
    data      = { arn = "arn:aws:s3:::data" }
    artifacts = { arn = "arn:aws:s3:::artifacts" }
  }
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/k"
  notebook                 = null
  network                  = null
  permissions_boundary_arn = null
}

run "role" {
  command = plan
  module { source = "./modules/training" }

  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement :
      statement.Sid => sort(flatten([statement.Action])) if startswith(flatten([statement.Action])[0], "s3:")
      } == {
      ListDatasets             = tolist(["s3:ListBucket"])
      ReadDatasets             = tolist(["s3:GetObject"])
      ListInputsAndCheckpoints = tolist(["s3:ListBucket"])
      ReadInputs               = tolist(["s3:GetObject"])
      SyncCheckpoints          = tolist(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"])
      WriteRuns                = tolist(["s3:PutObject"])
    }
    error_message = "A job reads its inputs, writes its results, and syncs its checkpoints."
  }
  assert {
    condition = alltrue([for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement :
      alltrue([for resource in flatten([statement.Resource]) : startswith(resource, "arn:aws:s3:::artifacts/runs/")]) if statement.Sid == "WriteRuns"
    ])
    error_message = "Results go below runs/ only."
  }
  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : [statement.Resource, statement.Condition] if statement.Sid == "UseBucketKey"] == [
      ["arn:aws:kms:us-east-1:123456789012:key/k", { StringEquals = { "kms:ViaService" = "s3.us-east-1.amazonaws.com" } }]
    ]
    error_message = "The key serves only what S3 reads and writes in the role's name."
  }
  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement.Sid if statement.Resource == "*"] == ["WriteMetrics", "LogInToRegistries"]
    error_message = "Only what knows no resource is allowed on any."
  }
  assert {
    condition     = jsondecode(data.aws_iam_policy_document.trust.json).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "SageMaker may use the role for this account alone."
  }
}
