# A model and an endpoint configuration for each listed release. Because earlier releases stay, a rollback (ours, or
# SageMaker's own when an alarm fires) always finds the configuration that it goes back to.

locals {
  # Fixed, because alarms, autoscaling and dashboards address the variant by name across releases.
  variant = "AllTraffic"

  releases = { for release in var.releases : release.run_id => {
    model_data_url  = "s3://${var.artifacts_bucket.name}/runs/${release.run_id}/output/model.tar.gz"
    manifest_sha256 = release.manifest_sha256
    instance_count  = release.instance_count
  } }

  # SageMaker takes no key of ours for the volume of an instance that has disks of its own, which encrypt themselves.
  has_disks      = can(regex("^ml\\.([a-z]+[0-9]+[a-z]*d[a-z]*|g[5-9][a-z]*|p[5-9][a-z]*|trn[0-9][a-z]*)\\.", var.instance_type))
  volume_key_arn = local.has_disks ? null : var.key_arn

  # SageMaker can change neither a model nor a configuration, and create_before_destroy needs a free name: so each
  # name ends in a hash of what would replace it. 63 characters are all that a name may have.
  model_names = { for run_id, release in local.releases : run_id =>
    "${substr("${var.name}-${run_id}", 0, 54)}-${substr(sha256(jsonencode([
      var.image_uri, release.model_data_url, release.manifest_sha256, try(var.network.subnet_ids, null), try(var.network.security_group_ids, null),
    ])), 0, 8)}"
  }
  configuration_names = { for run_id, release in local.releases : run_id =>
    "${substr("${var.name}-${run_id}", 0, 54)}-${substr(sha256(jsonencode([
      local.model_names[run_id], var.instance_type, release.instance_count, var.capture_percent, var.key_arn,
    ])), 0, 8)}"
  }
}

resource "aws_sagemaker_model" "this" {
  for_each = local.releases

  name                     = local.model_names[each.key]
  execution_role_arn       = aws_iam_role.this.arn
  enable_network_isolation = true # a model answers requests; it has nobody to call

  primary_container {
    image          = var.image_uri
    model_data_url = each.value.model_data_url

    environment = {
      MODEL_MANIFEST_SHA256 = each.value.manifest_sha256 # apart from the artifact, which cannot vouch for itself
      METRIC_NAMESPACE      = var.name                   # where CloudWatch puts what it reads out of the log
    }
  }

  dynamic "vpc_config" {
    for_each = var.network[*]
    content {
      subnets            = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = var.image_uri != null || each.key != var.releases[0].run_id # one of them says it
      error_message = "No serving image is built yet: run `make image ENV=…`."
    }
  }

  depends_on = [aws_iam_role_policy.this]
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  for_each = local.releases

  name        = local.configuration_names[each.key]
  kms_key_arn = local.volume_key_arn

  production_variants {
    variant_name           = local.variant
    model_name             = aws_sagemaker_model.this[each.key].name
    instance_type          = var.instance_type
    initial_instance_count = max(var.scaling.min_instances, coalesce(each.value.instance_count, 1))
    initial_variant_weight = 1
  }

  # A share of what callers sent and what they were told, to see by what the next model should be measured.
  dynamic "data_capture_config" {
    for_each = var.capture_percent > 0 ? [var.capture_percent] : []
    content {
      enable_capture              = true
      initial_sampling_percentage = data_capture_config.value
      destination_s3_uri          = "s3://${var.artifacts_bucket.name}/capture/"
      kms_key_id                  = var.key_arn

      capture_options {
        capture_mode = "Input"
      }
      capture_options {
        capture_mode = "Output"
      }
      capture_content_type_header {
        json_content_types = ["application/json"]
      }
    }
  }

  lifecycle {
    # Also orders the end of a release that left the list: first the endpoint moves on, then its configuration goes.
    create_before_destroy = true

    # A start value. The autoscaling owns the count from then on; a deployment that finds another count than the least
    # records it with its release, and gets a configuration of its own by the name.
    ignore_changes = [production_variants[0].initial_instance_count]
  }
}
