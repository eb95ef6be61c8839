# Before the function, which would otherwise make a group of its own that keeps everything for ever.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.key_arn
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:Callers wait for the answer; a dead-letter queue is for asynchronous invocations alone.
  #checkov:skip=CKV_AWS_117:It calls one AWS service and has nothing to reach in a VPC, which would need an endpoint billed by the hour for that.
  #checkov:skip=CKV_AWS_173:The variables are names and a number; AWS encrypts them with a key of its own.
  #checkov:skip=CKV_AWS_272:Only the apply role can change the code, and what it deploys is the zip whose hash the plan shows.

  function_name                  = var.name
  description                    = "Answers which breed the dog in an image is."
  role                           = aws_iam_role.this.arn
  runtime                        = "python3.13"
  handler                        = "handler.handler"
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  publish                        = true # aliases and provisioned concurrency need a version, never $LATEST
  memory_size                    = var.memory_mb
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = {
      ENDPOINT_NAME = var.endpoint_name
      # The model is asked once. Before Lambda cuts the function off, 5 s are left to fetch an image, 1 s to connect to
      # the endpoint, and 2 s to say that the model was too slow.
      MODEL_TIMEOUT_SECONDS = var.timeout_seconds - 8
      ALLOWED_URL_HOSTS     = join(" ", var.allowed_url_hosts)
      ALLOWED_S3_PREFIXES   = join(" ", var.allowed_s3_prefixes)
      CORS_ORIGINS          = join(" ", var.cors_origins)
      METRIC_NAMESPACE      = var.name
    }
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.this.name
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }

  tracing_config {
    mode = "Active"
  }

  # Provisioned environments run the code, and write logs, before the first call.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "What callers call."
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

resource "aws_lambda_provisioned_concurrency_config" "live" {
  count = var.provisioned_concurrency == null ? 0 : 1

  function_name                     = aws_lambda_function.this.function_name
  qualifier                         = aws_lambda_alias.live.name
  provisioned_concurrent_executions = var.provisioned_concurrency
}

resource "aws_lambda_function_url" "live" {
  function_name      = aws_lambda_function.this.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
}
