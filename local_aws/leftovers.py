"""What is still there after a destroy: asked of the stand-in, type by type, never of a Terraform state."""

from collections.abc import Iterator
from typing import Any

from local_aws.clients import client
from local_aws.environment import ACCOUNT_ID, STATE_BUCKET, client_environment

# Terraform type -> how the service lists it: client, operation, the list in the answer, and what names an item.
_LISTINGS: dict[str, tuple[str, str, str, str]] = {
    "aws_budgets_budget": ("budgets", "describe_budgets", "Budgets", "BudgetName"),
    "aws_cloudwatch_dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "aws_cloudwatch_log_group": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "aws_cloudwatch_metric_alarm": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "aws_ecr_repository": ("ecr", "describe_repositories", "repositories", "repositoryName"),
    "aws_iam_instance_profile": ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    "aws_iam_openid_connect_provider": ("iam", "list_open_id_connect_providers", "OpenIDConnectProviderList", "Arn"),
    "aws_iam_policy": ("iam", "list_policies", "Policies", "PolicyName"),
    "aws_iam_role": ("iam", "list_roles", "Roles", "RoleName"),
    "aws_kms_alias": ("kms", "list_aliases", "Aliases", "AliasName"),
    "aws_lambda_function": ("lambda", "list_functions", "Functions", "FunctionName"),
    "aws_launch_template": ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
    "aws_route_table": ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    "aws_s3_bucket": ("s3", "list_buckets", "Buckets", "Name"),
    "aws_sagemaker_endpoint": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "aws_sagemaker_endpoint_configuration": (
        "sagemaker",
        "list_endpoint_configs",
        "EndpointConfigs",
        "EndpointConfigName",
    ),
    "aws_sagemaker_model": ("sagemaker", "list_models", "Models", "ModelName"),
    "aws_sagemaker_notebook_instance": (
        "sagemaker",
        "list_notebook_instances",
        "NotebookInstances",
        "NotebookInstanceName",
    ),
    "aws_sagemaker_notebook_instance_lifecycle_configuration": (
        "sagemaker",
        "list_notebook_instance_lifecycle_configs",
        "NotebookInstanceLifecycleConfigs",
        "NotebookInstanceLifecycleConfigName",
    ),
    "aws_security_group": ("ec2", "describe_security_groups", "SecurityGroups", "GroupName"),
    "aws_sns_topic": ("sns", "list_topics", "Topics", "TopicArn"),
    "aws_sns_topic_subscription": ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    "aws_ssm_parameter": ("ssm", "describe_parameters", "Parameters", "Name"),
    "aws_subnet": ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "aws_vpc": ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "aws_vpc_endpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
}
# Leaves out what each account has from the start: AWS's own policies, the default network.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "aws_budgets_budget": {"AccountId": ACCOUNT_ID},
    "aws_iam_policy": {"Scope": "Local"},
    "aws_subnet": {"Filters": [{"Name": "default-for-az", "Values": ["false"]}]},
    "aws_vpc": {"Filters": [{"Name": "is-default", "Values": ["false"]}]},
}
# They go with the resource that they belong to: a bucket's policy with the bucket, an alias with its function.
PARTS = {
    "aws_default_security_group": "aws_vpc",
    "aws_ecr_lifecycle_policy": "aws_ecr_repository",
    "aws_iam_role_policy": "aws_iam_role",
    "aws_iam_role_policy_attachment": "aws_iam_role",
    "aws_lambda_alias": "aws_lambda_function",
    "aws_lambda_function_url": "aws_lambda_function",
    "aws_lambda_permission": "aws_lambda_function",
    "aws_lambda_provisioned_concurrency_config": "aws_lambda_function",
    "aws_route_table_association": "aws_route_table",
    "aws_s3_bucket_lifecycle_configuration": "aws_s3_bucket",
    "aws_s3_bucket_logging": "aws_s3_bucket",
    "aws_s3_bucket_ownership_controls": "aws_s3_bucket",
    "aws_s3_bucket_policy": "aws_s3_bucket",
    "aws_s3_bucket_public_access_block": "aws_s3_bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "aws_s3_bucket",
    "aws_s3_bucket_versioning": "aws_s3_bucket",
    "aws_sns_topic_policy": "aws_sns_topic",
    "aws_vpc_security_group_egress_rule": "aws_security_group",
    "aws_vpc_security_group_ingress_rule": "aws_security_group",
}
# The stand-in has no such service, so nothing can be left of it.
ABSENT = {"aws_accessanalyzer_analyzer"}
_LISTED_BELOW = {
    "aws_appautoscaling_policy",
    "aws_appautoscaling_target",
    "aws_codebuild_project",
    "aws_instance",
    "aws_kms_key",
}

# What SageMaker makes itself when the first job or notebook of the account writes, and is kept as history.
_SERVICE_MADE_LOG_GROUPS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/NotebookInstances")


def listed_types() -> set[str]:
    return {*_LISTINGS, *PARTS, *ABSENT, *_LISTED_BELOW}


def leftovers(url: str) -> list[str]:
    """Names of what still exists, each behind its Terraform type."""
    variables = client_environment(url)

    found = []
    for kind, (service, operation, key, name) in _LISTINGS.items():
        for item in _pages(client(service, variables), operation, key, **_ARGUMENTS.get(kind, {})):
            if not _is_no_leftover(item, item[name]):
                found.append(f"{kind} {item[name]}")
    for reservation in _pages(client("ec2", variables), "describe_instances", "Reservations"):
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                found.append(f"aws_instance {instance['InstanceId']}")
    for project in client("codebuild", variables).list_projects()["projects"]:
        found.append(f"aws_codebuild_project {project}")
    kms = client("kms", variables)
    for entry in _pages(kms, "list_keys", "Keys"):
        metadata = kms.describe_key(KeyId=entry["KeyId"])["KeyMetadata"]
        if metadata["KeyManager"] == "CUSTOMER" and metadata["KeyState"] != "PendingDeletion":
            found.append(f"aws_kms_key {entry['KeyId']}")
    scaling = client("application-autoscaling", variables)
    for namespace in ("sagemaker", "lambda"):
        for target in scaling.describe_scalable_targets(ServiceNamespace=namespace)["ScalableTargets"]:
            found.append(f"aws_appautoscaling_target {target['ResourceId']}")
        for policy in scaling.describe_scaling_policies(ServiceNamespace=namespace)["ScalingPolicies"]:
            found.append(f"aws_appautoscaling_policy {policy['PolicyName']}")
    return sorted(found)


def _pages(service: Any, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    if not service.can_paginate(operation):
        yield from getattr(service, operation)(**arguments)[key]
        return
    for page in service.get_paginator(operation).paginate(**arguments):
        yield from page.get(key, [])


def _is_no_leftover(item: dict[str, Any], name: str) -> bool:
    """Whether no Terraform is to take it away: it comes with the account, with a VPC or from a service, or has gone."""
    return (
        name in (STATE_BUCKET, "default", *_SERVICE_MADE_LOG_GROUPS)
        or name.startswith(("alias/aws/", "/aws/service/"))
        or item.get("State") == "deleted"  # of a VPC's endpoint, which is listed for a while
        or any(association["Main"] for association in item.get("Associations", []))
    )
