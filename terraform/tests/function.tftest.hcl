# The function module by itself.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  name                    = "dogbreed-test-predict"
  account                 = { id = "123456789012", partition = "aws", region = "us-east-1" }
  package                 = "./versions.tf" # any file does: a plan only hashes it
  memory_mb               = 512
  timeout_seconds         = 30
  reserved_concurrency    = 5
  provisioned_concurrency = 2
  endpoint_name           = "dogbreed-test"
  log_retention_days      = 30
}

run "seed_concurrency" {
  command = plan
  module { source = "./modules/function" }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == 5 && aws_lambda_provisioned_concurrency_config.live[0].provisioned_concurrent_executions == 2
    error_message = "5 reserved for the function, 2 of them provisioned."
  }
  assert {
    condition     = aws_lambda_function.this.publish && aws_lambda_provisioned_concurrency_config.live[0].qualifier == "live"
    error_message = "Provisioned concurrency stands behind the alias, never behind $LATEST."
  }
  assert {
    condition     = aws_lambda_function_url.live.authorization_type == "AWS_IAM" && aws_lambda_function_url.live.qualifier == "live"
    error_message = "The URL takes signed requests only."
  }
  assert {
    condition     = tonumber(aws_lambda_function.this.environment[0].variables["MODEL_TIMEOUT_SECONDS"]) == 25
    error_message = "The function outlives the wait for the model."
  }
  assert {
    condition = (
      aws_lambda_function.this.logging_config[0].log_format == "JSON"
      && aws_lambda_function.this.logging_config[0].log_group == aws_cloudwatch_log_group.this.name
      && aws_lambda_function.this.tracing_config[0].mode == "Active"
    )
    error_message = "Logs are JSON in a group with an end, and calls are traced."
  }
}

run "no_concurrency" {
  command = plan
  module { source = "./modules/function" }
  variables {
    reserved_concurrency    = null
    provisioned_concurrency = null
  }

  assert {
    condition     = length(aws_lambda_provisioned_concurrency_config.live) == 0 && aws_lambda_function.this.reserved_concurrent_executions == -1
    error_message = "null reserves nothing and provisions nothing."
  }
}

run "role" {
  command = plan
  module { source = "./modules/function" }

  assert {
    condition = jsondecode(data.aws_iam_policy_document.this.json).Statement == [
      {
        Sid      = "InvokeOneEndpoint"
        Effect   = "Allow"
        Action   = "sagemaker:InvokeEndpoint"
        Resource = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/dogbreed-test"
      },
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:PutLogEvents", "logs:CreateLogStream"]
        Resource = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/dogbreed-test-predict:*"
      },
      {
        Sid      = "WriteTraces"
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        Resource = "*"
      },
    ]
    error_message = "The function invokes one endpoint, writes its logs and its traces; nothing else."
  }
}
