# A model and an endpoint configuration for each listed release. Because earlier releases stay, a rollback (ours, or
# SageMaker's own when an alarm fires) always finds the configuration that it goes back to.

locals {
  # Fixed, because alarms, autoscaling and dashboards address the variant by name across releases.
  variant = "AllTraffic"

  releases = { for release in var.releases : release.run_id => {
    model_data_url  = "s3://${var.artifacts_bucket.name}/runs/${release.run_id}/output/model.tar.gz"
    manifest_sha256 = release.manifest_sha256
  } }

  # SageMaker can change neither a model nor a configuration, and create_before_destroy needs a free name: so each
  # name ends in a hash of what would replace it. 63 characters are all that a name may have.
  model_names = { for run_id, release in local.releases : run_id =>
    "${substr("${var.name}-${run_id}", 0, 54)}-${substr(sha256(jsonencode([var.image_uri, release])), 0, 8)}"
  }
  configuration_names = { for run_id, release in local.releases : run_id =>
    "${substr("${var.name}-${run_id}", 0, 54)}-${substr(sha256(jsonencode([local.model_names[run_id], var.instance_type])), 0, 8)}"
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

    # Travels apart from the artifact, so that the artifact cannot vouch for itself.
    environment = {
      MODEL_MANIFEST_SHA256 = each.value.manifest_sha256
    }
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [aws_iam_role_policy.this]
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  for_each = local.releases

  name = local.configuration_names[each.key]

  production_variants {
    variant_name           = local.variant
    model_name             = aws_sagemaker_model.this[each.key].name
    instance_type          = var.instance_type
    initial_instance_count = var.scaling.min_instances
    initial_variant_weight = 1
  }

  lifecycle {
    # Also orders the end of a release that left the list: first the endpoint moves on, then its configuration goes.
    create_before_destroy = true

    # A start value. The autoscaling owns the count from then on, and a replacement for its sake would move traffic.
    ignore_changes = [production_variants[0].initial_instance_count]
  }
}
