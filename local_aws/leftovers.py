"""What is still there after a destroy: asked of the stand-in, type by type, never of a Terraform state."""

from local_aws.clients import client
from local_aws.environment import client_environment

# Terraform type -> how the service lists it: client, operation, the list in the answer, and what names an item.
_LISTINGS: dict[str, tuple[str, str, str, str]] = {
    "aws_s3_bucket": ("s3", "list_buckets", "Buckets", "Name"),
    "aws_iam_role": ("iam", "list_roles", "Roles", "RoleName"),
    "aws_ssm_parameter": ("ssm", "describe_parameters", "Parameters", "Name"),
    "aws_sagemaker_model": ("sagemaker", "list_models", "Models", "ModelName"),
    "aws_sagemaker_endpoint_configuration": (
        "sagemaker",
        "list_endpoint_configs",
        "EndpointConfigs",
        "EndpointConfigName",
    ),
    "aws_sagemaker_endpoint": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "aws_lambda_function": ("lambda", "list_functions", "Functions", "FunctionName"),
    "aws_cloudwatch_metric_alarm": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "aws_cloudwatch_log_group": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
}
# They go with the resource that they belong to: a bucket's policy with the bucket, an alias with its function.
PARTS = {
    "aws_s3_bucket_ownership_controls": "aws_s3_bucket",
    "aws_s3_bucket_policy": "aws_s3_bucket",
    "aws_s3_bucket_public_access_block": "aws_s3_bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "aws_s3_bucket",
    "aws_s3_bucket_versioning": "aws_s3_bucket",
    "aws_iam_role_policy": "aws_iam_role",
    "aws_lambda_alias": "aws_lambda_function",
    "aws_lambda_function_url": "aws_lambda_function",
    "aws_lambda_permission": "aws_lambda_function",
    "aws_lambda_provisioned_concurrency_config": "aws_lambda_function",
}
_SERVICE_MADE_LOG_GROUPS = "/aws/sagemaker/"  # written by SageMaker itself, as on AWS, and kept as history


def listed_types() -> set[str]:
    return {*_LISTINGS, *PARTS, "aws_appautoscaling_target", "aws_appautoscaling_policy"}


def leftovers(url: str) -> list[str]:
    """Names of what still exists, each behind its Terraform type."""
    variables = client_environment(url)

    found = []
    for kind, (service, operation, key, name) in _LISTINGS.items():
        for item in getattr(client(service, variables), operation)()[key]:
            if not item[name].startswith(_SERVICE_MADE_LOG_GROUPS):
                found.append(f"{kind} {item[name]}")
    scaling = client("application-autoscaling", variables)
    for namespace in ("sagemaker", "lambda"):
        for target in scaling.describe_scalable_targets(ServiceNamespace=namespace)["ScalableTargets"]:
            found.append(f"aws_appautoscaling_target {target['ResourceId']}")
        for policy in scaling.describe_scaling_policies(ServiceNamespace=namespace)["ScalingPolicies"]:
            found.append(f"aws_appautoscaling_policy {policy['PolicyName']}")
    return sorted(found)
