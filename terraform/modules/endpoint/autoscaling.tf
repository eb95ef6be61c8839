locals {
  targets = {
    SageMakerVariantConcurrentRequestsPerModelHighResolution = var.scaling.target_simultaneous_requests
    SageMakerVariantInvocationsPerInstance                   = var.scaling.target_invocations_per_minute
  }
}

# SageMaker refuses another instance type while autoscaling holds the variant. A target that is to be replaced lets go
# of it before the endpoint is updated, and takes hold of it again afterwards.
resource "terraform_data" "instance_type" {
  input = var.instance_type
}

resource "aws_appautoscaling_target" "this" {
  count = local.endpoint_count

  service_namespace  = "sagemaker"
  scalable_dimension = "sagemaker:variant:DesiredInstanceCount"
  resource_id        = "endpoint/${aws_sagemaker_endpoint.this[0].name}/variant/${local.variant}"
  min_capacity       = var.scaling.min_instances
  max_capacity       = var.scaling.max_instances

  lifecycle {
    replace_triggered_by = [terraform_data.instance_type]
  }
}

resource "aws_appautoscaling_policy" "this" {
  count = local.endpoint_count

  name               = "${var.name}-target-tracking"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = local.targets[var.scaling.metric]
    scale_in_cooldown  = var.scaling.scale_in_cooldown_seconds
    scale_out_cooldown = var.scaling.scale_out_cooldown_seconds

    predefined_metric_specification {
      predefined_metric_type = var.scaling.metric
    }
  }

  lifecycle {
    replace_triggered_by = [terraform_data.instance_type] # a target takes its policies with it
  }
}
