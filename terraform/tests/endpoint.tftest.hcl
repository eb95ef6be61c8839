# The endpoint module by itself: what zero, one and three releases make of it, and what its role may do.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  name     = "dogbreed-test"
  account  = { id = "123456789012", partition = "aws", region = "us-east-1" }
  serving  = true
  releases = []
  artifacts_bucket = {
    name = "dogbreed-test-artifacts-123456789012"
    arn  = "arn:aws:s3:::dogbreed-test-artifacts-123456789012"
  }
  image_uri            = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving:v1"
  image_repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving"
  instance_type        = "ml.c7i.large"
  scaling = {
    min_instances                 = 1
    max_instances                 = 3
    metric                        = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    target_simultaneous_requests  = 20
    target_invocations_per_minute = null
    scale_in_cooldown_seconds     = 30
    scale_out_cooldown_seconds    = 30
  }
  capture_percent          = 5
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/k"
  network                  = null
  topic_arn                = "arn:aws:sns:us-east-1:123456789012:dogbreed-test-alerts"
  log_retention_days       = 30
  permissions_boundary_arn = null
}

run "no_release" {
  command = plan
  module { source = "./modules/endpoint" }
  variables { image_uri = null } # none is needed yet

  assert {
    condition     = length(aws_sagemaker_model.this) == 0 && length(aws_sagemaker_endpoint_configuration.this) == 0
    error_message = "Without a release there is nothing to serve."
  }
  assert {
    condition     = length(aws_sagemaker_endpoint.this) == 0 && length(aws_appautoscaling_target.this) == 0
    error_message = "Without a release there is no endpoint to pay for."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.rollback) == 2
    error_message = "The alarms are there before the first endpoint, which needs them from its start."
  }
  assert {
    condition = (
      [for query in aws_cloudwatch_metric_alarm.rollback["errors"].metric_query : query.expression if query.return_data] == ["errors - FILL(busy, 0)"]
      && { for query in aws_cloudwatch_metric_alarm.rollback["errors"].metric_query : query.id => "${query.metric[0].namespace} ${query.metric[0].metric_name} ${query.metric[0].stat}" if length(query.metric) > 0 } == {
        errors = "AWS/SageMaker Invocation5XXErrors Sum"
        busy   = "dogbreed-test busy Sum"
      }
    )
    error_message = "An endpoint that turns callers away for want of room has no bad release."
  }

  # What it may do
  assert {
    condition = sort(distinct(flatten([for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement.Action]))) == tolist([
      "cloudwatch:DescribeAlarms",
      "cloudwatch:PutMetricData",
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:GetAuthorizationToken",
      "ecr:GetDownloadUrlForLayer",
      "kms:Decrypt",
      "kms:GenerateDataKey",
      "logs:CreateLogStream",
      "logs:DescribeLogStreams",
      "logs:PutLogEvents",
      "s3:GetObject",
      "s3:PutObject",
    ])
    error_message = "The endpoint's role may do more, or less, than it is meant to."
  }
  assert {
    condition     = [for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement.Sid if statement.Resource == "*"] == ["WriteMetrics", "LogInToRegistry"]
    error_message = "Only what knows no resource is allowed on any."
  }
  assert {
    condition     = jsondecode(data.aws_iam_policy_document.trust.json).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "SageMaker may use the role for this account alone."
  }
}

run "one_release" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    releases = [{ run_id = "run-a", manifest_sha256 = "aa", instance_count = null }]
  }

  assert {
    condition = (
      aws_sagemaker_model.this["run-a"].primary_container[0].model_data_url == "s3://dogbreed-test-artifacts-123456789012/runs/run-a/output/model.tar.gz"
      && aws_sagemaker_model.this["run-a"].primary_container[0].environment == tomap({ MODEL_MANIFEST_SHA256 = "aa", METRIC_NAMESPACE = "dogbreed-test" })
      && aws_sagemaker_model.this["run-a"].enable_network_isolation
    )
    error_message = "A model is the run's own artifact, checked against its digest, with no network."
  }
  assert {
    condition = (
      aws_sagemaker_endpoint_configuration.this["run-a"].production_variants[0].variant_name == "AllTraffic"
      && aws_sagemaker_endpoint_configuration.this["run-a"].production_variants[0].instance_type == "ml.c7i.large"
      && aws_sagemaker_endpoint_configuration.this["run-a"].production_variants[0].initial_instance_count == 1
    )
    error_message = "A configuration starts with the least number of instances, under the fixed variant name."
  }
  assert {
    condition     = aws_sagemaker_endpoint.this[0].endpoint_config_name == aws_sagemaker_endpoint_configuration.this["run-a"].name
    error_message = "The endpoint serves the first release."
  }
  assert {
    condition = (
      aws_sagemaker_endpoint.this[0].deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].type == "ALL_AT_ONCE"
      && length(aws_sagemaker_endpoint.this[0].deployment_config[0].auto_rollback_configuration[0].alarms) == 2
    )
    error_message = "One instance moves all at once, and goes back when an alarm fires."
  }
  assert {
    condition = (
      aws_appautoscaling_target.this[0].resource_id == "endpoint/dogbreed-test/variant/AllTraffic"
      && aws_appautoscaling_target.this[0].min_capacity == 1
      && aws_appautoscaling_target.this[0].max_capacity == 3
    )
    error_message = "The seed's bounds: 1 to 3 instances."
  }
  assert {
    condition = (
      aws_appautoscaling_policy.this[0].target_tracking_scaling_policy_configuration[0].target_value == 20
      && aws_appautoscaling_policy.this[0].target_tracking_scaling_policy_configuration[0].scale_in_cooldown == 30
      && aws_appautoscaling_policy.this[0].target_tracking_scaling_policy_configuration[0].scale_out_cooldown == 30
      && aws_appautoscaling_policy.this[0].target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    )
    error_message = "The seed's target: 20 simultaneous requests, cooldowns of 30 s."
  }

  # Encrypted, and captured
  assert {
    condition = (
      aws_sagemaker_endpoint_configuration.this["run-a"].kms_key_arn == var.key_arn
      && aws_cloudwatch_log_group.this.kms_key_id == var.key_arn
      && aws_sagemaker_endpoint_configuration.this["run-a"].data_capture_config[0].kms_key_id == var.key_arn
    )
    error_message = "Volumes, logs and what is captured are encrypted with our key."
  }
  assert {
    condition = (
      aws_sagemaker_endpoint_configuration.this["run-a"].data_capture_config[0].initial_sampling_percentage == 5
      && aws_sagemaker_endpoint_configuration.this["run-a"].data_capture_config[0].destination_s3_uri == "s3://dogbreed-test-artifacts-123456789012/capture/"
      && aws_sagemaker_endpoint_configuration.this["run-a"].data_capture_config[0].capture_options[*].capture_mode == tolist(["Input", "Output"])
    )
    error_message = "A share of requests and answers is kept where it expires."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.rollback : tolist(alarm.alarm_actions) == tolist([var.topic_arn])])
    error_message = "Whoever goes back also says so."
  }
}

run "refuses_a_release_without_an_image" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    image_uri = null
    releases = [
      { run_id = "run-b", manifest_sha256 = "bb", instance_count = null },
      { run_id = "run-a", manifest_sha256 = "aa", instance_count = null },
    ]
  }
  expect_failures = [aws_sagemaker_model.this]
}

run "three_releases" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    releases = [
      { run_id = "run-c", manifest_sha256 = "cc", instance_count = null },
      { run_id = "run-b", manifest_sha256 = "bb", instance_count = null },
      { run_id = "run-a", manifest_sha256 = "aa", instance_count = null },
    ]
  }

  assert {
    condition = (
      keys(aws_sagemaker_model.this) == ["run-a", "run-b", "run-c"]
      && keys(aws_sagemaker_endpoint_configuration.this) == ["run-a", "run-b", "run-c"]
    )
    error_message = "Each listed release keeps its model and its configuration."
  }
  assert {
    condition     = aws_sagemaker_endpoint.this[0].endpoint_config_name == aws_sagemaker_endpoint_configuration.this["run-c"].name
    error_message = "The first release is the one in service."
  }
}

run "rollback" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    releases = [
      { run_id = "run-b", manifest_sha256 = "bb", instance_count = null },
      { run_id = "run-c", manifest_sha256 = "cc", instance_count = null },
      { run_id = "run-a", manifest_sha256 = "aa", instance_count = null },
    ]
  }

  assert {
    condition     = aws_sagemaker_endpoint.this[0].endpoint_config_name == run.three_releases.configuration_names["run-b"]
    error_message = "A rollback serves the very configuration that the release had before."
  }
  assert {
    condition     = output.configuration_names == run.three_releases.configuration_names
    error_message = "The order of the list is no reason to replace a configuration."
  }
}

run "off" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    serving  = false
    releases = [{ run_id = "run-a", manifest_sha256 = "aa", instance_count = null }]
  }

  assert {
    condition = (
      length(aws_sagemaker_endpoint.this) == 0
      && length(aws_appautoscaling_target.this) == 0
      && length(aws_appautoscaling_policy.this) == 0
      && keys(aws_sagemaker_endpoint_configuration.this) == ["run-a"]
    )
    error_message = "Off costs nothing and forgets nothing."
  }
}

run "canary_from_two_instances" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    releases = [{ run_id = "run-a", manifest_sha256 = "aa", instance_count = null }]
    scaling = {
      min_instances                 = 2
      max_instances                 = 4
      metric                        = "SageMakerVariantInvocationsPerInstance"
      target_simultaneous_requests  = 20
      target_invocations_per_minute = 600
      scale_in_cooldown_seconds     = 30
      scale_out_cooldown_seconds    = 30
    }
  }

  assert {
    condition = (
      aws_sagemaker_endpoint.this[0].deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].type == "CANARY"
      && one(aws_sagemaker_endpoint.this[0].deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].canary_size).type == "INSTANCE_COUNT"
      && one(aws_sagemaker_endpoint.this[0].deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].canary_size).value == 1
    )
    error_message = "One of at least two instances is at most half."
  }
  assert {
    condition     = aws_appautoscaling_policy.this[0].target_tracking_scaling_policy_configuration[0].target_value == 600
    error_message = "The metric decides which target counts."
  }
}

run "another_image_needs_other_names" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    image_uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving:v2"
    releases  = [{ run_id = "run-c", manifest_sha256 = "cc", instance_count = null }]
  }

  assert {
    condition     = output.configuration_names["run-c"] != run.three_releases.configuration_names["run-c"]
    error_message = "create_before_destroy finds its new name taken."
  }
}

run "another_instance_type_needs_other_names" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    instance_type = "ml.m5d.large"
    releases      = [{ run_id = "run-c", manifest_sha256 = "cc", instance_count = null }]
  }

  assert {
    condition     = output.configuration_names["run-c"] != run.three_releases.configuration_names["run-c"]
    error_message = "create_before_destroy finds its new name taken."
  }
  assert {
    condition     = aws_sagemaker_endpoint_configuration.this["run-c"].kms_key_arn == null
    error_message = "A d behind the generation is a disk, which SageMaker encrypts with no key of ours."
  }
}

run "starts_with_the_instances_that_were_live" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    releases = [{ run_id = "run-c", manifest_sha256 = "cc", instance_count = 3 }]
  }

  assert {
    condition = (
      aws_sagemaker_endpoint_configuration.this["run-c"].production_variants[0].initial_instance_count == 3
      && aws_sagemaker_endpoint.this[0].deployment_config[0].blue_green_update_policy[0].traffic_routing_configuration[0].type == "CANARY"
      && output.configuration_names["run-c"] != run.three_releases.configuration_names["run-c"]
    )
    error_message = "A release goes into service with the count that autoscaling had reached, in a configuration of its own."
  }
}

run "no_capture_and_disks_of_its_own" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    capture_percent = 0
    instance_type   = "ml.g5.xlarge"
    releases        = [{ run_id = "run-a", manifest_sha256 = "aa", instance_count = null }]
  }

  assert {
    condition     = aws_sagemaker_endpoint_configuration.this["run-a"].kms_key_arn == null
    error_message = "SageMaker refuses a key for an instance type with NVMe disks."
  }
  assert {
    condition = (
      length(aws_sagemaker_endpoint_configuration.this["run-a"].data_capture_config) == 0
      && !contains(flatten([for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement.Action]), "s3:PutObject")
    )
    error_message = "What is not captured needs no permission."
  }
}

run "private_network" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    network = {
      subnet_ids         = ["subnet-a", "subnet-b"]
      security_group_ids = ["sg-a"]
      policy_json        = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"AttachInterfaces\",\"Effect\":\"Allow\",\"Action\":\"ec2:CreateNetworkInterface\",\"Resource\":\"*\"}]}"
    }
    releases = [{ run_id = "run-c", manifest_sha256 = "cc", instance_count = null }]
  }

  assert {
    condition = (
      aws_sagemaker_model.this["run-c"].vpc_config[0].subnets == toset(["subnet-a", "subnet-b"])
      && output.configuration_names["run-c"] != run.three_releases.configuration_names["run-c"]
    )
    error_message = "A model moves into the network as a new one."
  }
  assert {
    condition     = contains([for statement in jsondecode(data.aws_iam_policy_document.this.json).Statement : statement.Sid], "AttachInterfaces")
    error_message = "The role may do what the network asks of it."
  }
}

run "longest_names" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    name = "a-name-of-31-characters-and-so-"
    releases = [
      { run_id = "a23456789-b23456789-c23456789-d234567891", manifest_sha256 = "aa", instance_count = null },
      { run_id = "a23456789-b23456789-c23456789-d234567892", manifest_sha256 = "aa", instance_count = null },
    ]
  }

  assert {
    condition     = alltrue([for name in values(output.configuration_names) : length(name) <= 63]) && length(distinct(values(output.configuration_names))) == 2
    error_message = "Names fit SageMaker's 63 characters and stay apart."
  }
}

run "refuses_a_release_twice" {
  command = plan
  module { source = "./modules/endpoint" }
  variables {
    releases = [{ run_id = "run-a", manifest_sha256 = "aa", instance_count = null }, { run_id = "run-a", manifest_sha256 = "bb", instance_count = null }]
  }
  expect_failures = [var.releases]
}
