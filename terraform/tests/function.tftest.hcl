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
  name                     = "dogbreed-test-predict"
  account                  = { id = "123456789012", partition = "aws", region = "us-east-1" }
  package                  = "./versions.tf" # any file does: a plan only hashes it
  memory_mb                = 512
  timeout_seconds          = 30
  reserved_concurrency     = 5
  provisioned_concurrency  = 2
  endpoint_name            = "dogbreed-test"
  allowed_url_hosts        = ["*"]
  allowed_s3_prefixes      = []
  cors_origins             = []
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  topic_arn                = "arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"
  permissions_boundary_arn = null
  log_retention_days       = 30
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
    condition     = tonumber(aws_lambda_function.this.environment[0].variables["MODEL_TIMEOUT_SECONDS"]) == 22
    error_message = "The function outlives the fetch of an image and the wait for the model."
  }
  assert {
    condition = (
      aws_lambda_function.this.logging_config[0].log_format == "JSON"
      && aws_lambda_function.this.logging_config[0].log_group == aws_cloudwatch_log_group.this.name
      && aws_lambda_function.this.tracing_config[0].mode == "Active"
    )
    error_message = "Logs are JSON in a group with an end, and calls are traced."
  }

  # What it may do
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

  # Who is told
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.errors.alarm_name == "dogbreed-test-predict-errors" && aws_cloudwatch_metric_alarm.errors.threshold == 5 && aws_cloudwatch_metric_alarm.errors.evaluation_periods == 1
      && { for query in aws_cloudwatch_metric_alarm.errors.metric_query : query.id => query.expression if query.return_data == true } == { rate = "IF(errors >= 3, 100 * errors / invocations, 0)" }
      && { for query in aws_cloudwatch_metric_alarm.errors.metric_query : query.id => "${query.metric[0].namespace} ${query.metric[0].metric_name} ${query.metric[0].stat} ${query.metric[0].period}" if length(query.metric) > 0 } == {
        errors      = "AWS/Lambda Errors Sum 300"
        invocations = "AWS/Lambda Invocations Sum 300"
      }
    )
    error_message = "5 % of the invocations within 5 minutes, three at least, without an answer call."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.throttles.alarm_name == "dogbreed-test-predict-throttles"
      && "${aws_cloudwatch_metric_alarm.throttles.namespace} ${aws_cloudwatch_metric_alarm.throttles.metric_name} ${aws_cloudwatch_metric_alarm.throttles.statistic}" == "AWS/Lambda Throttles Sum"
      && aws_cloudwatch_metric_alarm.throttles.threshold == 1 && aws_cloudwatch_metric_alarm.throttles.period == 60
      && aws_cloudwatch_metric_alarm.throttles.datapoints_to_alarm == 3 && aws_cloudwatch_metric_alarm.throttles.evaluation_periods == 5
    )
    error_message = "Callers sent away in three of five minutes call; one burst does not."
  }
  assert {
    condition = alltrue([for dimensions in concat(
      [aws_cloudwatch_metric_alarm.throttles.dimensions],
      [for query in aws_cloudwatch_metric_alarm.errors.metric_query : query.metric[0].dimensions if length(query.metric) > 0],
    ) : dimensions == tomap({ FunctionName = "dogbreed-test-predict", Resource = "dogbreed-test-predict:live" })])
    error_message = "Both alarms watch the alias, which is what callers call."
  }
  assert {
    condition = alltrue([for alarm in [aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.throttles] :
      alarm.treat_missing_data == "notBreaching" && alarm.comparison_operator == "GreaterThanOrEqualToThreshold"
      && alarm.alarm_actions == toset([var.topic_arn]) && alarm.ok_actions == toset([var.topic_arn])
    ])
    error_message = "Whoever is told that something is wrong is told that it is over; a function that nobody calls is not wrong."
  }
}

run "reads_images_from_just_the_prefixes" {
  command = plan
  module { source = "./modules/function" }
  variables {
    allowed_url_hosts   = ["images.example.com", "http://old.example.com"]
    allowed_s3_prefixes = ["s3://dogbreed-test-data-123456789012/photographs/", "s3://elsewhere/dogs/small/"]
    cors_origins        = ["https://dogs.example.com"]
  }

  assert {
    condition = [for name in ["ALLOWED_URL_HOSTS", "ALLOWED_S3_PREFIXES", "CORS_ORIGINS"] : aws_lambda_function.this.environment[0].variables[name]] == [
      "images.example.com http://old.example.com",
      "s3://dogbreed-test-data-123456789012/photographs/ s3://elsewhere/dogs/small/",
      "https://dogs.example.com",
    ]
    error_message = "The function gets its lists, blanks between."
  }
  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement if startswith(statement.Sid, "Read")] == [
      {
        Sid      = "ReadImages"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = ["arn:aws:s3:::elsewhere/dogs/small/*", "arn:aws:s3:::dogbreed-test-data-123456789012/photographs/*"]
      },
      {
        Sid       = "ReadEncryptedImages"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
        Condition = { StringEquals = { "kms:ViaService" = "s3.us-east-1.amazonaws.com" } }
      },
    ]
    error_message = "The function reads objects under its prefixes, decrypts them through S3 alone, and lists nothing."
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
